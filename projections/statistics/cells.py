"""The cells of `run_statistics` that changes add to, and those that they take from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    SelectBase,
    Subquery,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from .buckets import LONGEST, digits_of, key_of, lead_of
from .json_elements import sketch_sum, sketch_text
from .news import Facts, News, ledger_parameter

HOUR = 3_600_000_000
"""Microseconds of an hour."""

DAY = 24
"""Hours of a day: the span of the cells that count all names together, so that wide windows are few cells."""

KEYS = ("span", "hour", "run_name", "execution_type", "outcome")
"""What names a cell in its ledger."""

_RUNS, _LATE, _DURATIONS, _QUEUE_TIMES = range(4)
"""What is counted."""
_MEASURED = ("late", "duration", "queue_time", "n")
"""What a run is counted with."""


@cache
def added_cells() -> SelectBase:
    """What to add to cells: runs as they are to be counted, less the same runs as they were counted."""
    news = News()
    counted = union_all(
        *(
            select(*_counted_as(facts), _number(sign).label("n"))
            .select_from(news.source)
            .where(news.is_new, facts["outcome"] != "")
            for facts, sign in ((news.before, -1), (news.after, 1))
        )
    ).cte("counted")
    return _summed(union_all(*_placed(counted, *_MEASURED)).cte("placed"))


@cache
def former_cells() -> SelectBase:
    """The cells that runs were counted in before."""
    news = News()
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
    keys = [counted.c[name] for name in KEYS]

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
    groups = [found.c[name] for name in (*KEYS, "what", "key")]
    buckets = select(*groups, cast(func.sum(found.c.n), BigInteger).label("n")).group_by(*groups).subquery("buckets")
    cell = buckets.c

    def total(what: int) -> ColumnElement[Any]:
        return cast(func.coalesce(func.sum(cell.n).filter(cell.what == what), 0), BigInteger)

    names = [cell[name] for name in KEYS]
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
    return select(ledger_parameter(), *(cells[name] for name in KEYS), cells.runs, cells.late, *sketches).where(
        cells.runs.is_not(None)
    )


def _with(rows: Subquery, **more: Callable[[Any], ColumnElement[Any]]) -> Subquery:
    ((name, make),) = more.items()
    return select(*rows.c, make(rows.c).label(name)).subquery(f"with_{name}")
