"""What the reading commands ask the ledger, or a service: plain data, before it is shown as text or JSON."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

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
    Spans,
    Statistics,
    StatusSpan,
    StepSpan,
    Timeline,
)
from ..jobs import find_execution
from .progress import entered, waiting

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


async def whole_spans(read: Callable[..., Awaitable[Spans | None]], job_id: str) -> Spans | None:
    """The spans of all events of an execution, read page by page; None where there never was one."""
    found = page = await read(job_id)
    while found is not None and page is not None and page.next_version is not None:
        page = await read(job_id, from_version=page.next_version)
        if page is not None:
            found.extend(page)
    return found


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
    truncated: bool
    """Whether there are more groups."""
    reasons: list[FailureReason]
    longest: list[EndedRun]


class Playing(NamedTuple):
    """How to play a run."""

    speed: float | None
    """None: as fast as possible."""
    from_version: int
    by: str
    longest_wait: float | None


class Reader(ABC):
    """The questions of the reading commands. What has the names of the repository and of the queries answers them."""

    def __init__(self, executions: Any, queries: Any) -> None:
        self._executions, self._queries = executions, queries

    @abstractmethod
    async def status(self, job: str) -> Status:
        """What is known of one execution."""

    @abstractmethod
    async def history(self, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> History:
        """A page of executions and how many there are."""

    @abstractmethod
    async def timeline(self, job: str, limit: int, from_version: int) -> Story:
        """A page of what happened, also in an execution that was deleted."""

    @abstractmethod
    async def diff(self, job: str, before: int | str, after: int | str | None, by: Any) -> Diff:
        """What changed between two versions or times."""

    @abstractmethod
    async def audit(self, limit: int, cursor: str | None, newest_first: bool, filters: Any) -> EventPage:
        """A page of the events that pass every filter, each with what it changed."""

    @abstractmethod
    async def numbers(self, window: Window) -> Numbers:
        """How runs ended, how long they took, why they failed."""

    @abstractmethod
    def follow(
        self, after: int | None, types: list[str] | None, job: str | None
    ) -> AsyncGenerator[RecordedEvent, None]:
        """The events behind a position (without one: those to come), without end."""

    @abstractmethod
    async def player(self, job: str, how: Playing) -> Player:
        """Plays a run; its frames have the row after each event."""

    async def ledger(self) -> LedgerFacts:
        """Size, counters and root; the root is that of the size shown, whatever is appended meanwhile."""
        summary = await self._queries.summary()
        return LedgerFacts(summary, await self._queries.root(summary.size))

    async def job_id(self, job: str) -> str:
        """The job id where a number was given; what is not there, or not yet, as it was given."""
        found = await self._find(job)
        return job if found is None else found.job_id

    async def known_job_id(self, job: str) -> str:
        """The same of an execution that is there, or was deleted."""
        found = await self._find(job)
        if found is None and not await self._queries.events(1, job_id=job):
            raise UnknownExecution(job=job, ledger=(await self._queries.summary()).ledger)
        return job if found is None else found.job_id

    async def _find(self, job: str) -> ExecutionHistory | None:
        return await find_execution(self._executions, job)

    async def _ends(self, execution: ExecutionHistory) -> Status:
        """An execution with its first and its last event."""
        first = await self._queries.events(1, newest_first=False, job_id=execution.job_id)
        last = await self._queries.events(1, job_id=execution.job_id)
        return Status(execution, first[0], last[0])


async def numbers_of(statistics: Any, window: Window) -> Numbers:
    """The numbers of a window, as statistics of a ledger or a client of a service tell them."""
    between = (window.begin, window.end)
    only = {"run_name": window.run_name} if window.run_name is not None else {}
    (whole,) = await statistics.statistics(*between, **only)
    groups = await statistics.statistics(*between, by=window.by, limit=GROUPS, **only)
    truncated = False
    if len(groups) == GROUPS:
        last = groups[-1].at or (groups[-1].run_name if window.by == "run_name" else groups[-1].execution_type) or ""
        truncated = bool(await statistics.statistics(*between, by=window.by, after=last, limit=1, **only))
    reasons = await statistics.failure_reasons(*between, limit=TOP, **only)
    longest = await statistics.longest_runs(*between, limit=TOP, **only)
    return Numbers(window, whole, groups, truncated, reasons, longest)


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[Reader]:
    if settings.url is None:
        from ..runtime import open_ledger
        from .database_reader import DatabaseReader

        async with open_ledger(settings, create=False) as ledger, ledger.sessions() as session:
            yield DatabaseReader(ledger, session)
        return
    from .service_reader import ServiceReader, open_client

    async with open_client(settings) as client:
        yield ServiceReader(client)


def run(settings: Settings, read: Callable[[Reader], Awaitable[_T]], *, shows: bool = False) -> _T:
    """Open the ledger, or call the service, read, close. A database that is missing is not made.

    `shows`: `read` prints by itself what it reads, so that nobody has to be told that it takes long.
    """

    async def reading() -> _T:
        async with entered(_reader(settings), waiting("open") if shows else nullcontext()) as reader:
            return await read(reader)

    with nullcontext() if shows else waiting("read"):
        return asyncio.run(reading())
