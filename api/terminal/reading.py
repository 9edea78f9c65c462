"""What the reading commands ask the ledger, or a service: plain data, before it is shown as text or JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from ...domain import LedgerError
from ...infrastructure import ExecutionHistory, Root, Settings
from ...projections import (
    Diff,
    EndedRun,
    EventPage,
    FailureReason,
    LedgerSummary,
    Player,
    RecordedEvent,
    Statistics,
    StatusSpan,
    StepSpan,
    Timeline,
)

_T = TypeVar("_T")
GROUPS, TOP = 1_000, 5
"""Groups, and reasons or runs, that `stats` shows at most."""


class UnknownExecution(LedgerError):
    """JOB: there is no execution {job!r} in ledger {ledger!r}. See `execution-ledger history`."""

    job: str
    ledger: str


class DeletedExecution(LedgerError):
    """JOB: execution {job!r} was deleted. Its events stay: `execution-ledger timeline {job}`."""

    job: str


class Status(NamedTuple):
    """One execution, and who did what first and last."""

    execution: ExecutionHistory
    created: RecordedEvent
    changed: RecordedEvent


class History(NamedTuple):
    """A page of executions."""

    executions: list[ExecutionHistory]
    next_cursor: str | None
    total: int
    """How many there are with these filters."""
    summary: LedgerSummary
    filtered: bool


class Story(NamedTuple):
    """A page of the events of one execution, and the spans of all of them."""

    execution: ExecutionHistory | None
    """None where it was deleted."""
    timeline: Timeline
    statuses: list[StatusSpan]
    steps: list[StepSpan]
    first: RecordedEvent


class LedgerFacts(NamedTuple):
    """A ledger in numbers, with its root at that size."""

    summary: LedgerSummary
    root: Root


class Window(NamedTuple):
    """Runs that ended in a stretch of time, of one name or of all."""

    begin: datetime
    end: datetime
    by: str
    run_name: str | None


class Numbers(NamedTuple):
    """How the runs of a window ended."""

    window: Window
    whole: Statistics
    groups: list[Statistics]
    reasons: list[FailureReason]
    longest: list[EndedRun]


class Playing(NamedTuple):
    """How to play a run."""

    speed: float | None
    """None: as fast as possible."""
    from_version: int
    by: str
    longest_wait: float | None


class Reader(Protocol):
    """The questions of the reading commands."""

    async def status(self, job: str) -> Status:
        """What is known of one execution."""
        ...

    async def history(self, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> History:
        """A page of executions and how many there are."""
        ...

    async def timeline(self, job: str, limit: int, from_version: int) -> Story:
        """A page of what happened, also in an execution that was deleted."""
        ...

    async def diff(self, job: str, before: int | str, after: int | str | None, by: Any) -> Diff:
        """What changed between two versions or times."""
        ...

    async def audit(self, limit: int, cursor: str | None, newest_first: bool, filters: Any) -> EventPage:
        """A page of the events that pass every filter, each with what it changed."""
        ...

    async def numbers(self, window: Window) -> Numbers:
        """How runs ended, how long they took, why they failed."""
        ...

    def follow(
        self, after: int | None, types: list[str] | None, job: str | None
    ) -> AsyncGenerator[RecordedEvent, None]:
        """The events behind a position (without one: those to come), without end."""
        ...

    async def player(self, job: str, how: Playing) -> Player:
        """Plays a run; its frames have the row after each event."""
        ...

    async def ledger(self) -> LedgerFacts:
        """Size, counters and root; the root is that of the size shown, whatever is appended meanwhile."""
        ...


def run(settings: Settings, read: Callable[[Reader], Awaitable[_T]]) -> _T:
    """Open the ledger, or call the service, read, close. A database that is missing is not made."""

    async def reading() -> _T:
        if settings.url is None:
            from ..runtime import open_ledger
            from .database_reader import DatabaseReader

            async with open_ledger(settings, create=False) as ledger, ledger.sessions() as session:
                return await read(DatabaseReader(ledger, session))
        from .service_reader import ServiceReader, open_client

        async with open_client(settings) as client:
            return await read(ServiceReader(client))

    return asyncio.run(reading())
