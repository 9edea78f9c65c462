"""The one query side of a ledger: library, HTTP and command line ask here, and none of them speaks SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar, Unpack
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from ..domain import check_ledger
from ..domain.values import check_int
from ..infrastructure.database_errors import translated
from ..infrastructure.root import Root, compute_root
from ..infrastructure.tables import STATUSES, execution_events, ledgers
from .audit import EventFilters, Filters, Scan
from .engine.fresh import Freshness, wait_until_fresh
from .recorded_event import RecordedEvent, to_recorded_event

_T = TypeVar("_T")

MAX_LIMIT = 10_000
"""Largest page."""


class LedgerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger in numbers, read off its head."""

    ledger: str
    size: int
    """Events."""
    executions: int
    """Executions that are not deleted."""
    statuses: dict[str, int]
    """How many of them are in each status."""
    created_at: datetime | None
    """When it was first written to; None for a ledger without events."""


class LedgerQueries:
    """Questions to one ledger, on a session of the caller's. Nothing here writes.

    Answers tell of what was appended; what a repository with `commit=False` still holds back needs its `flush()` first.
    """

    def __init__(
        self, session: AsyncSession, *, ledger: str = "default", min_position: int | None = None, wait: float = 5.0
    ) -> None:
        """With `min_position` answers know of that position; they wait for it, `wait` seconds at most."""
        self.session = session
        self.ledger = check_ledger(ledger)
        self._freshness = Freshness.of(min_position, wait)

    async def summary(self) -> LedgerSummary:
        """Size and counters: one row, whatever the size of the ledger."""
        return await self._read(self._summary)

    async def root(self, size: int | None = None) -> Root:
        """The RFC 9162 root at `size` events (now, if left out); reads every leaf up to there."""
        return await self._read(lambda session: compute_root(session.connection(), self.ledger, size))

    async def events(
        self, limit: int = 100, *, newest_first: bool = True, **filters: Unpack[EventFilters]
    ) -> list[RecordedEvent]:
        """A page of the ledger's events; page on with `before=` (or `after=`) the last position seen.

        The same query as that of `AuditQueries`, which also tells what each event changed, and looks only so far.
        """
        limit, checked = check_int(limit, "limit", 1, MAX_LIMIT), Filters.of(dict(filters))

        def read(session: Session) -> list[RecordedEvent]:
            found = Scan(session.connection(), self.ledger, checked).page(limit, backward=newest_first, most=None)
            return [to_recorded_event(row) for row in found.rows]

        return await self._read(read)

    async def creators(self, executions: Iterable[UUID]) -> dict[UUID, str | None]:
        """Who created each of these, by the id of its stream: the actor of its first event."""
        column, ids = execution_events.c, list(executions)
        if not ids:
            return {}
        first = select(column.execution_id, column.actor).where(
            column.ledger_id == self.ledger, column.execution_id.in_(ids), column.version == 1
        )
        return await self._read(lambda session: {row.execution_id: row.actor for row in session.execute(first)})

    async def _read(self, read: Callable[[Session], _T]) -> _T:
        await wait_until_fresh(self.session, self.ledger, self._freshness)
        with translated():
            return await self.session.run_sync(read)

    def _summary(self, session: Session) -> LedgerSummary:
        found = session.execute(select(ledgers).where(ledgers.c.ledger_id == self.ledger)).mappings().one_or_none()
        head = found or {}
        return LedgerSummary(
            ledger=self.ledger,
            size=head.get("size", 0),
            executions=head.get("executions", 0),
            statuses={status: head.get(status, 0) for status in STATUSES},
            created_at=head.get("created_at"),
        )
