"""Changes that the facts have not had yet, beside what those facts are: what every statement selects from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    SelectBase,
    Text,
    and_,
    bindparam,
    cast,
    func,
    select,
)

from ...infrastructure.json_rows import dump_rows
from ...infrastructure.tables import run_facts
from .changes import Change
from .json_elements import json_field, json_rows

Facts = Mapping[str, ColumnElement[Any]]
"""The columns of `run_facts` that events set, by name."""

_LEDGER, _ROWS = "ledger", "rows"
"""Parameters."""

_KEY = ("execution_id", "job_id", "position")
_FACTS = tuple(column for column in run_facts.columns if column.name not in ("ledger_id", *_KEY))
_BLANK = {column.name: "" if isinstance(column.type, Text) else 0 for column in _FACTS} | {"attempt": 1}


class News:
    """Rows to select from (`source`, where `is_new`), with the facts of each run before and after."""

    def __init__(self) -> None:
        value = json_rows(bindparam(_ROWS, type_=Text)).table_valued("value", name="j").c.value
        columns = [column for column in run_facts.columns if column.name != "ledger_id"]
        fields = (cast(json_field(value, column.name), _plain(column)).label(column.name) for column in columns)
        # What looks like nothing tells PostgreSQL to expect few rows: see `infrastructure.json_rows`.
        row = select(*fields).where(cast(json_field(value, "_one"), Integer) == 1).subquery("r")
        fact = run_facts.c
        same = and_(fact.ledger_id == ledger_parameter(), fact.execution_id == row.c.execution_id)
        # The few rows lead: an outer join that no condition makes an inner one, or SQLite begins with all facts.
        self.source = row.outerjoin(run_facts, same)
        self.is_new = func.coalesce(fact.position, 0) < row.c.position
        self.key: Facts = {name: row.c[name] for name in _KEY}
        """What identifies the run, and the position of its last change."""
        self.before: Facts = {column.name: func.coalesce(column, _BLANK[column.name]) for column in _FACTS}
        self.after: Facts = {name: func.coalesce(row.c[name], before) for name, before in self.before.items()}


def ledger_parameter() -> ColumnElement[str]:
    """The ledger that the changes are of."""
    return bindparam(_LEDGER, type_=Text)


def _plain(column: ColumnElement[Any]) -> Any:
    return Text() if isinstance(column.type, Text) else column.type


def bind(selected: SelectBase, ledger: str, changes: Iterable[Change]) -> SelectBase:
    """A select of changes with its parameters; it is made once, since making it costs more than executing it."""
    return selected.params({_LEDGER: ledger, _ROWS: dump_rows(map(_row, changes))})


def _row(change: Change) -> dict[str, Any]:
    # Hexadecimal digits are a UUID to PostgreSQL, and what SQLite keeps of one.
    key = {"execution_id": change.execution_id.hex, "job_id": change.job_id, "position": change.position}
    return key | change.facts
