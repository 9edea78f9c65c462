"""The statements that carry changes into the tables.

A run is counted by what `run_facts` says of it. In the order of the statements, and all in one transaction: what it is
counted as now is taken back from `run_statistics` and what it is to be counted as is added, then its facts are moved
on. All of them pass by what facts have had already (`position`), so nothing is ever counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Executable,
    Select,
    Subquery,
    Text,
    and_,
    case,
    cast,
    delete,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from ...infrastructure.tables import run_facts, run_statistics
from ...infrastructure.types import to_json
from .buckets import LONGEST, digits_of, key_of, lead_of
from .changes import Change
from .json_elements import joined_members, json_field, json_rows, sketch_sum

HOUR = 3_600_000_000
"""Microseconds of an hour."""

_FACTS = tuple(
    column for column in run_facts.columns if column.name not in ("ledger_id", "execution_id", "job_id", "position")
)
_BLANK = {column.name: "" if isinstance(column.type, Text) else 0 for column in _FACTS} | {"attempt": 1}
_KEYS = ("hour", "run_name", "execution_type", "outcome")
_RUNS, _LATE, _DURATIONS, _QUEUE_TIMES = range(4)
"""What is counted."""

Facts = Mapping[str, ColumnElement[Any]]


def change_statements(ledger: str, changes: Sequence[Change]) -> Iterable[Executable]:
    """What applies changes of a ledger, one of each run, in this order."""
    born = [_birth(change) for change in changes if change.is_born]
    counting = [_row(change) for change in changes if change.counts]
    moving = [_row(change) for change in changes if change.moves]
    if born:
        yield _insert(ledger, born)
    if counting:
        yield _count(ledger, counting)
    if moving:
        yield _drop_empty(ledger, moving)
    # A run that was born and no more is in its first row as a whole.
    if moved := [_row(change) for change in changes if change.counts or change.events > change.is_born]:
        yield _move_on(ledger, moved)


def _row(change: Change) -> dict[str, Any]:
    # Hexadecimal digits are a UUID to PostgreSQL, and what SQLite keeps of one.
    return {"execution_id": change.execution_id.hex, "position": change.position, **change.facts}


def _birth(change: Change) -> dict[str, Any]:
    """The first row of a run. One that is to be counted has had nothing yet, so that it is."""
    row = _BLANK | _row(change) | {"job_id": change.job_id}
    return row | {"position": 0, "outcome": ""} if change.counts else row


def _rows(rows: Iterable[Mapping[str, Any]]) -> Subquery:
    """Rows of `run_facts` as one parameter; NULL where a column is not given."""
    each = json_rows(literal(to_json(list(rows)), Text)).table_valued("value", name="j")
    columns = (column for column in run_facts.columns if column.name != "ledger_id")
    fields = (cast(json_field(each.c.value, column.name), _plain(column)).label(column.name) for column in columns)
    return select(*fields).subquery("r")


def _plain(column: ColumnElement[Any]) -> Any:
    return Text() if isinstance(column.type, Text) else column.type


def _insert(ledger: str, rows: Iterable[Mapping[str, Any]]) -> Executable:
    row = _rows(rows).c
    source = select(literal(ledger, Text), *row).where(row.execution_id.is_not(None))
    return insert(run_facts).from_select(["ledger_id", *row.keys()], source).on_conflict_do_nothing()


def _move_on(ledger: str, rows: Iterable[Mapping[str, Any]]) -> Executable:
    row = _rows(rows)
    given = {column.name: func.coalesce(row.c[column.name], column) for column in _FACTS}
    statement = update(run_facts).values({"position": row.c.position, **given})
    return statement.where(_is_news(ledger, row))


def _is_news(ledger: str, row: Subquery) -> ColumnElement[bool]:
    fact = run_facts.c
    return and_(fact.ledger_id == ledger, fact.execution_id == row.c.execution_id, fact.position < row.c.position)


def _count(ledger: str, rows: Iterable[Mapping[str, Any]]) -> Executable:
    row = _rows(rows)
    before: Facts = {column.name: column for column in _FACTS}
    after: Facts = {column.name: func.coalesce(row.c[column.name], column) for column in _FACTS}
    counted = union_all(
        *(
            select(*_counted_as(facts), literal_column(sign, BigInteger).label("n")).where(
                _is_news(ledger, row), facts["outcome"] != ""
            )
            for facts, sign in ((before, "-1"), (after, "1"))
        )
    ).cte("counted")
    sums = _summed(ledger, counted)
    statement = insert(run_statistics).from_select([column.name for column in run_statistics.columns], sums)
    cell, added = run_statistics.c, statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(run_statistics.primary_key.columns),
        set_={
            "runs": cell.runs + added.runs,
            "late": cell.late + added.late,
            "durations": sketch_sum(cell.durations, added.durations),
            "queue_times": sketch_sum(cell.queue_times, added.queue_times),
        },
    )


def _counted_as(facts: Facts) -> Iterable[ColumnElement[Any]]:
    """The cell that a run is counted in, and with what."""
    yield (facts["ended"] // HOUR).label("hour")
    yield from (facts[name].label(name) for name in _KEYS[1:])
    yield facts["late"].label("late")
    yield _length(facts["started"], facts["ended"]).label("duration")
    yield _length(facts["created"], facts["started"]).label("queue_time")


def _length(begin: ColumnElement[int], end: ColumnElement[int]) -> ColumnElement[Any]:
    """Microseconds; NULL where one end is unknown, and where the clocks that told them cannot be right."""
    known = and_(begin > 0, end >= begin, end - begin <= LONGEST)
    return case((known, end - begin))


def _summed(ledger: str, counted: CTE) -> Select[Any]:
    """The cells to add."""
    keys = [counted.c[name] for name in _KEYS]

    def lengths(what: int, length: ColumnElement[Any]) -> Select[Any]:
        return select(*keys, literal_column(str(what)).label("what"), length.label("length"), counted.c.n)

    zero = literal_column("0", BigInteger)
    each = union_all(
        lengths(_RUNS, zero),
        lengths(_LATE, zero).where(counted.c.late == 1),
        lengths(_DURATIONS, counted.c.duration).where(counted.c.duration.is_not(None)),
        lengths(_QUEUE_TIMES, counted.c.queue_time).where(counted.c.queue_time.is_not(None)),
    ).subquery("each")
    # One step after the other, so that no expression is written out twice inside itself.
    cut = _with(each, exponent=lambda c: digits_of(c.length))
    led = _with(cut, lead=lambda c: lead_of(c.length, c.exponent))
    found = _with(led, key=lambda c: key_of(c.exponent, c.lead))
    groups = [found.c[name] for name in (*_KEYS, "what", "key")]
    buckets = select(*groups, cast(func.sum(found.c.n), BigInteger).label("n")).group_by(*groups).subquery("buckets")
    cell = buckets.c

    def total(what: int) -> ColumnElement[Any]:
        return cast(func.coalesce(func.sum(cell.n).filter(cell.what == what), 0), BigInteger)

    def members(what: int) -> ColumnElement[Any]:
        return "{" + func.coalesce(joined_members(cell.key, cell.n).filter(cell.what == what), "") + "}"

    names = [cell[name] for name in _KEYS]
    cells = (
        select(
            *names,
            total(_RUNS).label("runs"),
            total(_LATE).label("late"),
            members(_DURATIONS).label("durations"),
            members(_QUEUE_TIMES).label("queue_times"),
        )
        .group_by(*names)
        .subquery("cells")
        .c
    )
    # Added to nothing, which puts the buckets in order. (For a parser, what follows ON CONFLICT needs a WHERE.)
    nothing = literal("{}", Text)
    sketches = (sketch_sum(cells[name], nothing) for name in ("durations", "queue_times"))
    return select(literal(ledger, Text), *(cells[name] for name in _KEYS), cells.runs, cells.late, *sketches).where(
        cells.runs.is_not(None)
    )


def _with(rows: Subquery, **more: Callable[[Any], ColumnElement[Any]]) -> Subquery:
    ((name, make),) = more.items()
    return select(*rows.c, make(rows.c).label(name)).subquery(f"with_{name}")


def _drop_empty(ledger: str, rows: Iterable[Mapping[str, Any]]) -> Executable:
    """Drop the cells that nothing is counted in any more, of those that runs were counted in before."""
    cell, fact, row = run_statistics.c, run_facts.c, _rows(rows)
    left = select(fact.ended // HOUR, fact.run_name, fact.execution_type, fact.outcome).where(_is_news(ledger, row))
    return delete(run_statistics).where(
        cell.ledger_id == ledger, cell.runs == 0, tuple_(*(cell[name] for name in _KEYS)).in_(left)
    )
