"""The statements that carry changes into the tables.

A run is counted by what `run_facts` says of it. In the order of the statements, and all in one transaction: what it is
counted as now is taken back from `run_statistics` and what it is to be counted as is added, then its facts are moved
on. All of them pass by what facts have had already (`position`), so nothing is ever counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Executable,
    FromClause,
    Integer,
    Select,
    SelectBase,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from ...infrastructure.json_rows import dump_rows
from ...infrastructure.tables import run_facts, run_statistics
from .buckets import LONGEST, digits_of, key_of, lead_of
from .changes import Change
from .json_elements import json_field, json_rows, sketch_sum, sketch_text

HOUR = 3_600_000_000
"""Microseconds of an hour."""

DAY = 24
"""Hours of a day: the span of the cells that count all names together, so that wide windows are few cells."""

_LEDGER, _ROWS = "ledger", "rows"
"""Parameters."""

_FACTS = tuple(
    column for column in run_facts.columns if column.name not in ("ledger_id", "execution_id", "job_id", "position")
)
_BLANK = {column.name: "" if isinstance(column.type, Text) else 0 for column in _FACTS} | {"attempt": 1}
_CHANGEABLE = ("execution_id", "job_id", "position", *(column.name for column in _FACTS))
_KEYS = ("span", "hour", "run_name", "execution_type", "outcome")
_RUNS, _LATE, _DURATIONS, _QUEUE_TIMES = range(4)
"""What is counted."""
_MEASURED = ("late", "duration", "queue_time", "n")
"""What a run is counted with."""

Facts = Mapping[str, ColumnElement[Any]]


def change_statements(ledger: str, changes: Sequence[Change]) -> Iterable[Executable]:
    """What applies changes of a ledger, one of each run, in this order."""
    if counting := [change for change in changes if change.counts]:
        yield _count(_bound(_counts(), ledger, counting))
    if moving := [change for change in changes if change.moves]:
        yield _drop_empty(ledger, _bound(_places(), ledger, moving))
    if changes:
        yield _move_on(_bound(_facts(), ledger, changes))


def _bound(rows: SelectBase, ledger: str, changes: Iterable[Change]) -> SelectBase:
    """A select of changes with its parameters; it is made once, since making it costs more than executing it."""
    return rows.params({_LEDGER: ledger, _ROWS: dump_rows(map(_row, changes))})


def _row(change: Change) -> dict[str, Any]:
    # Hexadecimal digits are a UUID to PostgreSQL, and what SQLite keeps of one.
    key = {"execution_id": change.execution_id.hex, "job_id": change.job_id, "position": change.position}
    return key | change.facts


class _News:
    """Changes that the facts have not had, beside those facts: rows to select from, and the facts before and after."""

    def __init__(self) -> None:
        value = json_rows(bindparam(_ROWS, type_=Text)).table_valued("value", name="j").c.value
        columns = [column for column in run_facts.columns if column.name != "ledger_id"]
        fields = (cast(json_field(value, column.name), _plain(column)).label(column.name) for column in columns)
        # What looks like nothing tells PostgreSQL to expect few rows: see `infrastructure.json_rows`.
        row = select(*fields).where(cast(json_field(value, "_one"), Integer) == 1).subquery("r")
        fact = run_facts.c
        same = and_(fact.ledger_id == _ledger(), fact.execution_id == row.c.execution_id)
        # The few rows lead: an outer join that no condition makes an inner one, or SQLite begins with all facts.
        self.source = row.outerjoin(run_facts, same)
        self.is_new = func.coalesce(fact.position, 0) < row.c.position
        self.row = row.c
        self.before: Facts = {column.name: func.coalesce(column, _BLANK[column.name]) for column in _FACTS}
        self.after: Facts = {name: func.coalesce(row.c[name], before) for name, before in self.before.items()}


def _ledger() -> ColumnElement[str]:
    return bindparam(_LEDGER, type_=Text)


def _plain(column: ColumnElement[Any]) -> Any:
    return Text() if isinstance(column.type, Text) else column.type


def _move_on(facts: SelectBase) -> Executable:
    statement = insert(run_facts).from_select(["ledger_id", *_CHANGEABLE], facts)
    return statement.on_conflict_do_update(
        index_elements=list(run_facts.primary_key.columns),
        set_={name: statement.excluded[name] for name in _CHANGEABLE if name not in ("execution_id", "job_id")},
    )


@cache
def _facts() -> SelectBase:
    """The facts as they are to be, by the names of `_CHANGEABLE`."""
    news = _News()
    key = (news.row.execution_id, news.row.job_id, news.row.position)
    return select(_ledger(), *key, *news.after.values()).select_from(news.source).where(news.is_new)


def _count(cells: SelectBase) -> Executable:
    statement = insert(run_statistics).from_select([column.name for column in run_statistics.columns], cells)
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


@cache
def _counts() -> SelectBase:
    """What to add to cells: runs as they are to be counted, less the same runs as they were counted."""
    news = _News()
    counted = union_all(
        *(
            select(*_counted_as(facts), _number(sign).label("n"))
            .select_from(news.source)
            .where(news.is_new, facts["outcome"] != "")
            for facts, sign in ((news.before, -1), (news.after, 1))
        )
    ).cte("counted")
    return _summed(union_all(*_placed(counted, *_MEASURED)).cte("placed"))


def _drop_empty(ledger: str, places: SelectBase) -> Executable:
    """Drop the cells that nothing is counted in any more, of those that runs were counted in before."""
    cell = run_statistics.c
    place = tuple_(*(cell[name] for name in _KEYS))
    return delete(run_statistics).where(cell.ledger_id == ledger, place.in_(places), cell.runs == 0)


@cache
def _places() -> SelectBase:
    """The cells that runs were counted in before."""
    news = _News()
    left = select(*_counted_as(news.before)).select_from(news.source).where(news.is_new).cte("left_by")
    return union_all(*_placed(left))


def _counted_as(facts: Facts) -> Iterable[ColumnElement[Any]]:
    """What a run is counted by, and with what."""
    yield (facts["ended"] // HOUR).label("hour")
    yield from (facts[name].label(name) for name in ("run_name", "execution_type", "outcome", "late"))
    yield length_between(facts["started"], facts["ended"]).label("duration")
    yield length_between(facts["created"], facts["started"]).label("queue_time")


def _placed(counted: FromClause, *more: str) -> Iterable[Select[Any]]:
    """Runs in the cells of their hours, and in those of their days."""
    run = counted.c
    rest = [run.execution_type, run.outcome, *(run[name] for name in more)]
    yield select(_number(1).label("span"), run.hour, run.run_name, *rest)
    day = (run.hour - run.hour % DAY).label("hour")
    yield select(_number(DAY).label("span"), day, literal("", Text).label("run_name"), *rest)


def _number(value: int) -> ColumnElement[int]:
    return literal_column(str(value), BigInteger)


def length_between(begin: ColumnElement[int], end: ColumnElement[int]) -> ColumnElement[Any]:
    """Microseconds; NULL where one end is unknown, and where the clocks that told them cannot be right."""
    known = and_(begin > 0, end >= begin, end - begin <= LONGEST)
    return case((known, end - begin))


def _summed(counted: CTE) -> Select[Any]:
    """The cells to add."""
    keys = [counted.c[name] for name in _KEYS]

    def lengths(what: int, length: ColumnElement[Any]) -> Select[Any]:
        return select(*keys, _number(what).label("what"), length.label("length"), counted.c.n)

    zero = _number(0)
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

    names = [cell[name] for name in _KEYS]
    cells = (
        select(
            *names,
            total(_RUNS).label("runs"),
            total(_LATE).label("late"),
            sketch_text(cell.key, cell.n, cell.what == _DURATIONS).label("durations"),
            sketch_text(cell.key, cell.n, cell.what == _QUEUE_TIMES).label("queue_times"),
        )
        .group_by(*names)
        .subquery("cells")
        .c
    )
    # Added to nothing, which puts the buckets in order. (For a parser, what follows ON CONFLICT needs a WHERE.)
    nothing = literal("{}", Text)
    sketches = (sketch_sum(cells[name], nothing) for name in ("durations", "queue_times"))
    return select(_ledger(), *(cells[name] for name in _KEYS), cells.runs, cells.late, *sketches).where(
        cells.runs.is_not(None)
    )


def _with(rows: Subquery, **more: Callable[[Any], ColumnElement[Any]]) -> Subquery:
    ((name, make),) = more.items()
    return select(*rows.c, make(rows.c).label(name)).subquery(f"with_{name}")
