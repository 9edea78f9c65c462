"""What a player shows: the events of a run with its states, or those of a stretch of a ledger, read page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from ...domain import InvalidInput, UnknownExecution
from ...infrastructure.codec import decode_event
from ...infrastructure.database_errors import translated
from ...infrastructure.entity import EXECUTIONS
from ...infrastructure.root import read_size
from ...infrastructure.tables import execution_events
from ..recorded_event import RecordedEvent, select_events, to_recorded_event
from ..states import states_at
from .moments import Clock, recorded_by
from .state import find_run

PAGE = 100
"""Events that are read at once."""

_T = TypeVar("_T")
_END = (datetime(9999, 12, 30, tzinfo=UTC), 2**63 - 1)
"""A key behind the last event."""


class Frame(NamedTuple):
    """One event, as it is played."""

    event: RecordedEvent
    state: Mapping[str, Any] | None
    """Of a run: its row right after the event, None once it is deleted. Of a ledger: always None."""
    at: datetime
    """The time of the story: that of the event by the chosen clock, and never earlier than that of the one before."""


class Target(NamedTuple):
    """Where to go on: at a version, a position, or an instant."""

    version: int | None = None
    position: int | None = None
    instant: datetime | None = None


class Reel(Protocol):
    """A sequence of events that can be wound."""

    async def read(self) -> list[tuple[RecordedEvent, Mapping[str, Any] | None]]:
        """The next few; none at the end. Each call is a transaction of its own."""
        ...

    async def wind(self, target: Target) -> None:
        """Go on with the first event at the target or after it."""
        ...


async def in_transaction(engine: AsyncEngine, work: Callable[[Connection], _T]) -> _T:
    """Read on a connection that is given back at once: nobody waits while a transaction is open."""
    with translated():
        async with engine.connect() as connection:
            return await connection.run_sync(work)


class RunReel:
    """The events of one execution up to a version, with its row after each."""

    def __init__(self, engine: AsyncEngine, ledger: str, job_id: str, first: int, last: int | None, by: Clock) -> None:
        self._engine = engine
        self._ledger = ledger
        self._job_id = job_id
        self._first = self._next = first
        self._last = last
        self._by = by
        self._row: Mapping[str, Any] | None = None
        self._known = 0
        """The version that the row is of; it is read anew where another one is needed."""

    async def read(self) -> list[tuple[RecordedEvent, Mapping[str, Any] | None]]:
        """The next page, each event with the row after it."""
        return await in_transaction(self._engine, self._read)

    async def wind(self, target: Target) -> None:
        """To a version, or to what was recorded (or occurred) at an instant; never before the beginning."""
        if target.position is not None:
            raise InvalidInput(field="position", problem="is of no run", remedy="Send a version or an instant.")
        at = target.version or await in_transaction(self._engine, lambda each: self._first_at(each, target))
        self._next = max(self._first, at)

    def _read(self, connection: Connection) -> list[tuple[RecordedEvent, Mapping[str, Any] | None]]:
        run = find_run(connection, self._ledger, self._job_id)
        if run is None:
            raise UnknownExecution(ledger=self._ledger, target=self._job_id)
        self._last = run.last if self._last is None else min(self._last, run.last)
        end = min(self._next + PAGE - 1, self._last)
        if end < self._next:
            return []
        if self._known != self._next - 1 or not self._known:
            before = (run.execution_id, self._next - 1)
            self._row = states_at(connection, self._ledger, [before])[before]
        event = execution_events.c
        page = select_events(self._ledger).where(event.execution_id == run.execution_id)
        page = page.where(event.version >= self._next, event.version <= end).order_by(event.version)
        frames = []
        for row in connection.execute(page):
            recorded = decode_event(row, EXECUTIONS.catalog)
            if recorded.removes:
                self._row = None
            else:
                known = self._row or {**EXECUTIONS.blank(self._ledger), "id": run.id, "execution_id": run.execution_id}
                bookkeeping = {"version": row.version, "updated_at": row.recorded_at}
                self._row = {**known, **recorded.data.changes(), **bookkeeping}
            frames.append((to_recorded_event(row), self._row))
        self._next, self._known = end + 1, end
        return frames

    def _first_at(self, connection: Connection, target: Target) -> int:
        assert target.instant is not None
        run = find_run(connection, self._ledger, self._job_id)
        if run is None:
            raise UnknownExecution(ledger=self._ledger, target=self._job_id)
        if self._by == "recorded":
            before = target.instant - target.instant.resolution
            return recorded_by(connection, self._ledger, [(run.execution_id, run.last)], before)[0] + 1
        event = execution_events.c
        first = select(func.min(event.version)).where(
            event.ledger_id == self._ledger,
            event.execution_id == run.execution_id,
            func.coalesce(event.occurred_at, event.recorded_at) >= target.instant,
        )
        return connection.execute(first).scalar() or run.last + 1


class LedgerReel:
    """The events of a ledger between two positions in their order, or between two instants as they were recorded."""

    def __init__(self, engine: AsyncEngine, ledger: str, first: int | datetime, last: int | datetime | None) -> None:
        self._engine = engine
        self._ledger = ledger
        self._by_time = isinstance(first, datetime) or isinstance(last, datetime)
        self._first = first
        self._last = last
        self._size: int | None = None
        self._next: tuple[Any, ...] | None = None
        """The key from which to read on; None at the beginning."""
        self._after = False
        """Whether the key itself was read."""

    async def read(self) -> list[tuple[RecordedEvent, Mapping[str, Any] | None]]:
        """The next page."""
        rows = await in_transaction(self._engine, self._read)
        if rows:
            self._next, self._after = self._key(rows[-1].recorded_at, rows[-1].position), True
        return [(to_recorded_event(row), None) for row in rows]

    async def wind(self, target: Target) -> None:
        """To a position or an instant; never before the beginning."""
        if target.version is not None:
            raise InvalidInput(field="version", problem="is of a run", remedy="Send a position or an instant.")
        self._next, self._after = await in_transaction(self._engine, lambda each: self._find(each, target)), False

    def _read(self, connection: Connection) -> list[Any]:
        if self._size is None:
            self._size = read_size(connection, self._ledger)
        event = execution_events.c
        order = self._key(event.recorded_at, event.position)
        page = self._bounded(select_events(self._ledger).where(event.position <= self._size))
        if self._next is not None:
            start = tuple_(*self._next, types=[column.type for column in order])
            page = page.where(tuple_(*order) > start if self._after else tuple_(*order) >= start)
        return list(connection.execute(page.order_by(*order).limit(PAGE)))

    def _key(self, recorded_at: Any, position: Any) -> tuple[Any, ...]:
        return (recorded_at, position) if self._by_time else (position,)

    def _bounded(self, page: Select[Any]) -> Select[Any]:
        event = execution_events.c
        for bound, first in ((self._first, True), (self._last, False)):
            if isinstance(bound, datetime):
                page = page.where(event.recorded_at >= bound if first else event.recorded_at < bound)
            elif bound is not None:
                page = page.where(event.position >= bound if first else event.position <= bound)
        return page

    def _find(self, connection: Connection, target: Target) -> tuple[Any, ...] | None:
        """The key of the first event at the target or after it."""
        event = execution_events.c
        order = (event.position,) if target.instant is None else (event.recorded_at, event.position)
        start = event.position >= (target.position or 0)
        if target.instant is not None:
            start = event.recorded_at >= target.instant
        found = connection.execute(
            select(event.recorded_at, event.position)
            .where(event.ledger_id == self._ledger, start)
            .order_by(*order)
            .limit(1)
        ).one_or_none()
        return self._key(*(found or _END))
