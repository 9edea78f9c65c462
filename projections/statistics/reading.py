"""The statements of the questions, and answers made of their rows."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    cast,
    func,
    literal_column,
    select,
    true,
    union_all,
)

from ...domain import TERMINAL, InvalidInput
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_text, check_time
from ...infrastructure.tables import STATUSES, run_facts, run_statistics
from ..key_rows import json_members
from .answers import EndedRun, FailureReason, Statistics
from .cells import DAY, length_between
from .json_elements import sketch_text
from .sketch import summarize
from .window import Window, begin_of, hour_of, time_of

By = Literal["hour", "day", "run_name", "execution_type"]
"""What statistics may be grouped by."""

OUTCOMES: tuple[str, ...] = tuple(status for status in STATUSES if status in TERMINAL)
SKETCHES = ("durations", "queue_times")
_MICROSECONDS = 1_000_000
_CELL = run_statistics.c
_FACT = run_facts.c
_GROUPS: dict[str | None, ColumnElement[Any]] = {
    None: literal_column("0", BigInteger),
    "hour": _CELL.hour,
    "day": _CELL.hour // literal_column(f"{DAY}", BigInteger),
    "run_name": _CELL.run_name,
    "execution_type": _CELL.execution_type,
}


def check_by(by: Any) -> By | None:
    """A group, or none."""
    if by not in _GROUPS:
        names = ", ".join(name for name in _GROUPS if name)
        raise InvalidInput(field="by", problem=f"{by!r:.40} is no group", remedy=f"Use: {names}, or leave it out.")
    return by


def check_after(after: Any, by: By | None) -> int | str | None:
    """The group that a page begins after."""
    match by:
        case _ if after is None:
            return None
        case None:
            raise InvalidInput(field="after", problem="is given without groups", remedy='Group with "by" as well.')
        case "hour":
            return hour_of(check_time(after, "after"))
        case "day":
            return hour_of(check_time(after, "after")) // DAY
        case _:
            return check_text(after, "after", KEY_LENGTH)


def select_groups(window: Window, by: By | None, limit: int, *, after: int | str | None = None) -> Select[Any]:
    """Groups in their order, with their sketches."""
    group = _GROUPS[by]
    counted = _counts(window, by)
    if after is not None:
        counted = counted.where(group > after)
    if by is not None:
        counted = counted.group_by(group).order_by(group)
    page = counted.limit(limit).cte("counted")
    return _with_sketches(window, by, page).order_by(page.c.group)


def select_most_failing(window: Window, limit: int) -> Select[Any]:
    """The run names with the most failures."""
    failed = func.sum(_CELL.runs).filter(_CELL.outcome == "failed")
    counted = _counts(window, "run_name").group_by(_CELL.run_name).having(failed > 0)
    counted = counted.order_by(failed.desc(), _CELL.run_name)
    page = counted.limit(limit).cte("counted")
    return _with_sketches(window, "run_name", page).order_by(page.c.failed.desc(), page.c.group)


def _counts(window: Window, by: By | None) -> Select[Any]:
    totals = (_total(_CELL.runs, _CELL.outcome == outcome).label(outcome) for outcome in OUTCOMES)
    late = _total(_CELL.late, true()).label("late")
    return select(_GROUPS[by].label("group"), *totals, late).where(*_cells(window, by))


def _cells(window: Window, by: By | None) -> list[ColumnElement[bool]]:
    return window.cells(fine=by in ("hour", "run_name"))


def _total(column: ColumnElement[int], condition: ColumnElement[bool]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(column).filter(condition), 0), BigInteger)


def _with_sketches(window: Window, by: By | None, counted: CTE) -> Select[Any]:
    """One statement for both, so that they tell of the same runs."""
    kept = _GROUPS[by].in_(select(counted.c.group))

    def members(what: str) -> Select[Any]:
        member = json_members(_CELL[what]).table_valued("key", "value", name="m")
        keys: list[Any] = [_GROUPS[by].label("group"), literal_column(f"'{what}'").label("what")]
        rows = select(*keys).add_columns(member.c.key, member.c.value)
        return rows.select_from(run_statistics.join(member, true())).where(*_cells(window, by), kept)

    each = union_all(*map(members, SKETCHES)).subquery("members").c
    bucket = (each.group, each.what, each.key)
    runs = cast(func.sum(cast(each.value, BigInteger)), BigInteger).label("n")
    sums = select(*bucket, runs).group_by(*bucket).subquery("buckets").c
    texts = (sketch_text(sums.key, sums.n, sums.what == what).label(what) for what in SKETCHES)
    sketches = select(sums.group, *texts).group_by(sums.group).subquery("sketches")
    columns = (sketches.c[what] for what in SKETCHES)
    return (
        select(counted)
        .add_columns(*columns)
        .select_from(counted.outerjoin(sketches, sketches.c.group == counted.c.group))
    )


def to_statistics(row: Row[Any], by: By | None) -> Statistics:
    """The answer of a row of `select_groups` or `select_most_failing`."""
    names: dict[str, Any] = {}
    match by:
        case "hour" | "day":
            names["at"] = begin_of(row.group * (DAY if by == "day" else 1))
        case "run_name" | "execution_type":
            names[by] = row.group or None
    outcomes = {outcome: getattr(row, outcome) for outcome in OUTCOMES}
    duration, queue_time = (_sketch(getattr(row, what)) for what in SKETCHES)
    return Statistics(
        runs=sum(outcomes.values()),
        outcomes=outcomes,
        late=row.late,
        duration=summarize(duration),
        queue_time=summarize(queue_time),
        **names,
    )


def _sketch(text: str | None) -> dict[int, int]:
    return msgspec.json.decode(text or "{}", type=dict[int, int])


def select_reasons(window: Window, limit: int) -> Select[Any]:
    """The commonest reasons of failures, each with its last run that is not deleted."""
    failed = [*window.facts(), _FACT.outcome == "failed"]
    shown = _FACT.deleted == 0
    runs = func.count()
    top = (
        select(
            _FACT.error.label("reason"),
            runs.label("runs"),
            func.max(_FACT.ended).label("last"),
            func.max(case((shown, _FACT.ended))).label("last_shown"),
        )
        .where(*failed)
        .group_by(_FACT.error)
        .order_by(runs.desc(), _FACT.error)
        .limit(limit)
        .cte("top")
    )
    sample = (
        select(func.min(_FACT.job_id))
        .where(*failed, shown, _FACT.ended == top.c.last_shown, _FACT.error == top.c.reason)
        .scalar_subquery()
    )
    return select(top, sample.label("job_id")).order_by(top.c.runs.desc(), top.c.reason)


def to_reason(row: Row[Any]) -> FailureReason:
    """The answer of a row of `select_reasons`."""
    last = begin_of(0) if not row.last else time_of(row.last)
    assert last is not None
    return FailureReason(reason=row.reason or None, runs=row.runs, last_at=last, job_id=row.job_id)


def select_longest(window: Window, limit: int, reason: str | None = None) -> Select[Any]:
    """Runs by their duration, the longest first; those that are deleted are not shown.

    With a reason, those that failed for it, also those that never started: they come last.
    """
    duration = length_between(_FACT.started, _FACT.ended)
    kept = duration.is_not(None) if reason is None else and_(_FACT.outcome == "failed", _FACT.error == reason)
    return _runs(window, kept).order_by(duration.desc().nulls_last(), _FACT.execution_id).limit(limit)


def select_most_retried(window: Window, limit: int) -> Select[Any]:
    """Runs by the number of their attempt, the highest first; first attempts and deleted runs are not shown."""
    order = (_FACT.attempt.desc(), _FACT.ended.desc(), _FACT.execution_id)
    return _runs(window, _FACT.attempt > 1).order_by(*order).limit(limit)


def _runs(window: Window, condition: ColumnElement[bool]) -> Select[Any]:
    lengths = (
        length_between(_FACT.started, _FACT.ended).label("duration"),
        length_between(_FACT.created, _FACT.started).label("queue_time"),
    )
    return select(run_facts, *lengths).where(and_(*window.facts(), _FACT.deleted == 0, condition))


def to_run(row: Row[Any]) -> EndedRun:
    """The answer of a row of `select_longest` and the like."""
    return EndedRun(
        job_id=row.job_id,
        run_name=row.run_name or None,
        execution_type=row.execution_type or None,
        outcome=row.outcome,
        attempt=row.attempt,
        created_at=time_of(row.created),
        started_at=time_of(row.started),
        ended_at=time_of(row.ended) or begin_of(0),
        duration=_seconds(row.duration),
        queue_time=_seconds(row.queue_time),
    )


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / _MICROSECONDS
