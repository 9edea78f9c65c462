"""Who did what, when and why: the questions of an audit, over one ledger or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, Unpack

import msgspec
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession

from ...domain import InvalidInput, check_ledger
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_int, check_text
from ...infrastructure.database_errors import translated
from ..engine.fresh import Freshness, wait_until_fresh
from .changes import AuditedEvent
from .filters import EventFilters, Filters
from .pages import EventPage, read_page
from .runs import TouchedRun, read_touched_runs
from .scan import MAX_SCAN, Scan

_T = TypeVar("_T")

MAX_LIMIT = 10_000
"""Largest page."""
COUNTED = 10_000
"""How far events are counted."""


class EventCount(msgspec.Struct, frozen=True):
    """How many events pass some filters."""

    number: int
    exact: bool
    """False: at least so many."""

    def __str__(self) -> str:
        return f"{self.number}" if self.exact else f"at least {self.number}"


class AuditQueries:
    """Questions about the events of one ledger, or of all that are named, on a session of the caller's.

    Nothing here writes. A call looks at `max_scan` events at most, and says so where that was not enough.
    """

    def __init__(
        self,
        session: AsyncSession,
        *,
        ledger: str | Iterable[str] = "default",
        min_position: int | None = None,
        wait: float = 5.0,
    ) -> None:
        """With `min_position` answers know of that position of the ledger; they wait for it, `wait` seconds at most."""
        self.session = session
        names = [ledger] if isinstance(ledger, str) else list(ledger)
        self.ledgers = tuple(dict.fromkeys(check_ledger(each) for each in names))
        if not self.ledgers:
            raise InvalidInput(field="ledger", problem="is empty", remedy="Name at least one ledger.")
        if min_position is not None and len(self.ledgers) > 1:
            raise InvalidInput(field="min_position", problem="is of one ledger", remedy="Name that ledger alone.")
        self._freshness = Freshness.of(min_position, wait)

    async def events(
        self,
        limit: int = 100,
        cursor: str | None = None,
        *,
        newest_first: bool = True,
        max_scan: int | None = MAX_SCAN,
        **filters: Unpack[EventFilters],
    ) -> EventPage:
        """A page of events, each with what it changed. Several ledgers come one after the other, as they were named.

        Pages neither overlap nor leave anything out while events arrive. With `max_scan=None` a page ends only when it
        is full, or when there is nothing more, however much has to be looked at.
        """
        checked = Filters.of(dict(filters))
        limit, most = check_int(limit, "limit", 1, MAX_LIMIT), _check_scan(max_scan)
        return await self._read(
            lambda connection: read_page(
                connection,
                self.ledgers,
                checked,
                limit=limit,
                cursor=cursor,
                newest_first=newest_first,
                max_scan=most,
            )
        )

    async def count(
        self, *, up_to: int = COUNTED, max_scan: int = MAX_SCAN, **filters: Unpack[EventFilters]
    ) -> EventCount:
        """How many events pass: exact without filters, and as far as `up_to` and `max_scan` allow with them."""
        checked = Filters.of(dict(filters))
        up_to, most = check_int(up_to, "up_to", 1), check_int(max_scan, "max_scan", 1)
        return await self._read(lambda connection: _count(connection, self.ledgers, checked, up_to, most))

    async def last_change(self, job_id: str, field: str) -> AuditedEvent | None:
        """Who changed this field of an execution last, when and why; None where nobody ever set it."""
        if len(self.ledgers) > 1:
            raise InvalidInput(
                field="ledger", problem="is more than one", remedy="Ask in the ledger that the execution is in."
            )
        filters: dict[str, Any] = {"job_id": job_id, "changed_field": field}
        page = await self.events(1, max_scan=None, **filters)
        return page.events[0] if page.events else None

    async def by_actor(
        self, actor: str, limit: int = 100, cursor: str | None = None, *, newest_first: bool = True
    ) -> EventPage:
        """Everything that an actor did."""
        return await self.events(limit, cursor, newest_first=newest_first, actor=actor)

    async def corrections_and_deletions(
        self, limit: int = 100, cursor: str | None = None, *, newest_first: bool = True
    ) -> EventPage:
        """Every correction and every deletion."""
        return await self.events(limit, cursor, newest_first=newest_first, type=("corrected", "deleted"))

    async def touched_runs(
        self, correlation_id: str, limit: int = 1_000, *, after: TouchedRun | None = None
    ) -> list[TouchedRun]:
        """All runs that have an event with this correlation id, by ledger and first event.

        Page on with the last one as `after`.
        """
        correlation_id = check_text(correlation_id, "correlation_id", KEY_LENGTH)
        limit = check_int(limit, "limit", 1, MAX_LIMIT)
        behind = None if after is None else (after.ledger_id, after.first_position)
        return await self._read(
            lambda connection: read_touched_runs(connection, self.ledgers, correlation_id, limit, behind)
        )

    async def _read(self, read: Callable[[Connection], _T]) -> _T:
        await wait_until_fresh(self.session, self.ledgers[0], self._freshness)
        with translated():
            return await self.session.run_sync(lambda session: read(session.connection()))


def _check_scan(most: int | None) -> int | None:
    return None if most is None else check_int(most, "max_scan", 1)


def _count(connection: Connection, ledgers: Iterable[str], filters: Filters, up_to: int, max_scan: int) -> EventCount:
    total, exact = 0, True
    for ledger in ledgers:
        counted, all_of_them = Scan(connection, ledger, filters).count(up_to, scan=max_scan)
        total, exact = total + counted, exact and all_of_them
    return EventCount(total, exact)
