"""A range of time as a range of positions: exactly, though clocks of writers differ and reports come late.

Positions and times are nearly in the same order, nearly. So each full block of positions has a mark: the earliest and
the latest time in it. An event within a range of time is in a block whose times overlap that range, or behind the last
mark: the range from the first such block to the last holds all of them, and the rows themselves are still compared. A
full block never changes, so its mark is right for ever, and without marks reads only take longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Executable, and_, func, insert, literal, select, true

from ...infrastructure.root import read_size
from ...infrastructure.tables import execution_events, execution_time_marks
from ..beside import real_ledger
from ..recorded_event import RecordedEvent
from .filters import Filters

BLOCK = 1024
"""Positions in a block; block 0 holds 1 to 1024."""
_FEW_BLOCKS = 16
"""What may be read event by event, behind the marks."""


class TimeMarks:
    """Keeps the marks, as a projection: off the write path, one statement for each full block."""

    name = "execution_time_marks"
    tables = (execution_time_marks,)
    types = None
    """Events of all types: any may be the last of its block."""
    only = execution_events.c.position % BLOCK == 0
    """The last of its block."""

    def statements(self, event: RecordedEvent) -> Iterable[Executable]:
        """What makes the mark of the block that an event fills. Again it changes nothing."""
        if event.position % BLOCK == 0:
            yield _mark(event.ledger_id, event.position // BLOCK - 1)


def mark_times(connection: Connection, ledger: str, *, most: int = 100) -> int:
    """Make up to `most` marks that are due, and answer how many: for a ledger that no projection worker follows.

    Call it again until it answers 0; the caller commits, best after each call.
    """
    mark = execution_time_marks.c
    last = connection.execute(select(func.max(mark.block)).where(mark.ledger_id == ledger)).scalar()
    first = 0 if last is None else last + 1
    end = min(read_size(connection, ledger) // BLOCK, first + most)
    for block in range(first, end):
        connection.execute(_mark(ledger, block))
    return max(end - first, 0)


def _mark(ledger: str, block: int) -> Executable:
    event, mark = execution_events.c, execution_time_marks.c
    at = happened_at()
    known = select(mark.block).where(mark.ledger_id == ledger, mark.block == block).exists()
    row = (
        select(
            literal(ledger, mark.ledger_id.type),
            literal(block, mark.block.type),
            func.min(event.recorded_at),
            func.max(event.recorded_at),
            func.min(at),
            func.max(at),
        )
        .where(
            event.ledger_id == real_ledger(ledger),
            event.position > block * BLOCK,
            event.position <= (block + 1) * BLOCK,
        )
        # A transaction that sees an older ledger sees a part of the block; and a mark that is there is right.
        .having(and_(func.count() == BLOCK, ~known))
    )
    return insert(execution_time_marks).from_select([column.name for column in execution_time_marks.columns], row)


class Stretch(NamedTuple):
    """Positions from `first` to `last`, both included; none where `first` is above `last`."""

    first: int
    last: int


def stretch_of(connection: Connection, ledger: str, filters: Filters, size: int) -> Stretch:
    """The positions up to `size` that hold every event that the filters of time and position let pass."""
    first = 1 if filters.after is None else min(filters.after, size) + 1  # no database counts beyond 64 bits
    last = size if filters.before is None else min(size, filters.before - 1)
    for prefix in ("recorded", "occurred"):
        start, end = getattr(filters, f"{prefix}_from"), getattr(filters, f"{prefix}_before")
        if first <= last and (start is not None or end is not None):
            found = _positions(connection, ledger, prefix, start, end, size)
            first, last = max(first, found.first), min(last, found.last)
    return Stretch(first, last)


def _positions(
    connection: Connection, ledger: str, prefix: str, start: datetime | None, end: datetime | None, size: int
) -> Stretch:
    mark = execution_time_marks.c
    overlapping = and_(
        true(),
        *([] if start is None else [mark[f"{prefix}_latest"] >= start]),
        *([] if end is None else [mark[f"{prefix}_earliest"] < end]),
    )
    count, highest, low, high = connection.execute(
        select(
            func.count(),
            func.max(mark.block),
            func.min(mark.block).filter(overlapping),
            func.max(mark.block).filter(overlapping),
        ).where(mark.ledger_id == ledger)
    ).one()
    # A gap is nothing that the projection leaves; but what is not known to be complete is not relied on.
    complete = count > 0 and count == highest + 1
    behind = min(count * BLOCK, size) if complete else 0
    bounds: list[int] = []
    if complete and low is not None:
        bounds += [low * BLOCK + 1, min((high + 1) * BLOCK, size)]
    if behind < size:
        bounds += _behind_the_marks(connection, ledger, prefix, start, end, behind, size)
    return Stretch(min(bounds), max(bounds)) if bounds else Stretch(1, 0)


def _behind_the_marks(
    connection: Connection,
    ledger: str,
    prefix: str,
    start: datetime | None,
    end: datetime | None,
    behind: int,
    size: int,
) -> list[int]:
    """The first and the last position there; none where there is no event in the range."""
    event, few = execution_events.c, size - behind <= _FEW_BLOCKS * BLOCK
    if prefix == "occurred" and not few:
        return [behind + 1, size]  # by no index; the scan of it is bounded
    at = event.recorded_at if prefix == "recorded" else happened_at()
    within = and_(true(), *([] if start is None else [at >= start]), *([] if end is None else [at < end]))
    # Few are read along the positions; else by the index of times, which a filter in the aggregates could not use.
    # The count is not needed; but without it the database would look for each end along the positions.
    ends: list[Any] = [func.count(), func.min(event.position), func.max(event.position)]
    statement = select(*(each.filter(within) for each in ends)) if few else select(*ends).where(within)
    there = and_(event.ledger_id == ledger, event.position > behind, event.position <= size)
    found: Any = connection.execute(statement.where(there)).one()
    return [found[1], found[2]] if found[0] else []


def happened_at() -> ColumnElement[datetime]:
    """When an event happened, by the reporter if that is known, else by the ledger."""
    return func.coalesce(execution_events.c.occurred_at, execution_events.c.recorded_at)
