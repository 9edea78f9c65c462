"""What the reading commands ask the ledger, or a service: plain data, before it is shown as text or JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from ...domain import LedgerError
from ...infrastructure import ExecutionHistory, Root, Settings
from ...projections import LedgerQueries, LedgerSummary, RecordedEvent, ReplayQueries, StatusSpan, StepSpan, Timeline
from ..runtime import Ledger, open_ledger

if TYPE_CHECKING:
    from ..client import AsyncLedgerClient

_T = TypeVar("_T")
_PAGE = 1_000
"""Executions, or events, that a service gives at once."""
_PATIENCE = 5.0
"""Seconds for which a service that does not answer is asked again."""


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

    async def ledger(self) -> LedgerFacts:
        """Size, counters and root; the root is that of the size shown, whatever is appended meanwhile."""
        ...


def run(settings: Settings, read: Callable[[Reader], Awaitable[_T]]) -> _T:
    """Open the ledger, or call the service, read, close. A database that is missing is not made."""

    async def reading() -> _T:
        if settings.url is None:
            async with open_ledger(settings, create=False) as ledger, ledger.sessions() as session:
                return await read(DatabaseReader(ledger, session))
        from ..client import AsyncLedgerClient

        key = None if settings.key is None else settings.key.get_secret_value()
        ledger = settings.ledger if "ledger" in settings.model_fields_set else None
        async with AsyncLedgerClient(settings.url, key=key, ledger=ledger, patience=_PATIENCE) as client:
            return await read(ServiceReader(client))

    return asyncio.run(reading())


class DatabaseReader:
    """Answers from the database."""

    def __init__(self, ledger: Ledger, session: AsyncSession) -> None:
        self._ledger = ledger.settings.ledger
        self._executions = ledger.executions(session)
        self._queries = LedgerQueries(session, ledger=self._ledger)
        self._replay = ReplayQueries(session, ledger=self._ledger)

    async def status(self, job: str) -> Status:
        """What is known of one execution."""
        execution = await self._find(job)
        if execution is None:
            events = await self._queries.events(1, job_id=job)
            raise DeletedExecution(job=job) if events else UnknownExecution(job=job, ledger=self._ledger)
        first = await self._queries.events(1, newest_first=False, job_id=execution.job_id)
        last = await self._queries.events(1, job_id=execution.job_id)
        return Status(execution, first[0], last[0])

    async def history(self, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> History:
        """A page of executions and how many there are."""
        given: Any = {name: value for name, value in filters.items() if value is not None}
        page = await self._executions.get_execution_page(limit, cursor, **given)
        _, total = await self._executions.get_execution_history(0, **given)
        return History(page.executions, page.next_cursor, total, await self._queries.summary(), bool(given))

    async def timeline(self, job: str, limit: int, from_version: int) -> Story:
        """A page of what happened, also in an execution that was deleted."""
        execution = await self._find(job)
        job_id = execution.job_id if execution else job
        timeline = await self._replay.timeline(job_id, limit=limit, from_version=from_version)
        if timeline is None:
            raise UnknownExecution(job=job, ledger=self._ledger)
        (first,) = await self._queries.events(1, newest_first=False, job_id=job_id)
        spans = await self._replay.spans(job_id)
        return Story(execution, timeline, spans.statuses, spans.steps, first)

    async def ledger(self) -> LedgerFacts:
        """Size, counters and root; the root is that of the size shown, whatever is appended meanwhile."""
        summary = await self._queries.summary()
        return LedgerFacts(summary, await self._queries.root(summary.size))

    async def _find(self, job: str) -> ExecutionHistory | None:
        found = await self._executions.get_execution_by_job_id(job)
        if found is None and job.isdecimal() and len(job) < 19:
            found = await self._executions.get(int(job))
        return found


class ServiceReader:
    """Answers as a service tells."""

    def __init__(self, client: AsyncLedgerClient) -> None:
        self._client = client

    async def status(self, job: str) -> Status:
        """What is known of one execution."""
        execution = await self._find(job)
        if execution is None:
            (found,) = await self._client.events(1, job_id=job) or (None,)
            if found is not None:
                raise DeletedExecution(job=job)
            raise UnknownExecution(job=job, ledger=(await self._client.summary()).ledger)
        first = await self._client.events(1, newest_first=False, job_id=execution.job_id)
        last = await self._client.events(1, job_id=execution.job_id)
        return Status(execution, first[0], last[0])

    async def history(self, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> History:
        """A page of executions and how many there are."""
        given: Any = {name: value for name, value in filters.items() if value is not None}
        page = await self._client.get_execution_page(min(limit, _PAGE), cursor, **given)
        executions = page.executions
        while page.next_cursor is not None and len(executions) < limit:
            page = await self._client.get_execution_page(min(limit - len(executions), _PAGE), page.next_cursor, **given)
            executions += page.executions
        _, total = await self._client.get_execution_history(1, **given)
        return History(executions, page.next_cursor, total, await self._client.summary(), bool(given))

    async def timeline(self, job: str, limit: int, from_version: int) -> Story:
        """A page of what happened, also in an execution that was deleted."""
        execution = await self._find(job)
        job_id = execution.job_id if execution else job
        page = await self._client.execution_events(job_id, min(limit, _PAGE), from_version=from_version)
        spans = await self._client.spans(job_id)
        if page is None or spans is None:
            raise UnknownExecution(job=job, ledger=(await self._client.summary()).ledger)
        events, following = page.events, page.next_version
        while following is not None and len(events) < limit:
            page = await self._client.execution_events(job_id, min(limit - len(events), _PAGE), from_version=following)
            assert page is not None, "an execution does not become unknown"
            events, following = events + page.events, page.next_version
        (first,) = await self._client.events(1, newest_first=False, job_id=job_id)
        told = Timeline(job_id=job_id, events=events, changes={}, statuses=[], steps=[], next_version=following)
        return Story(execution, told, spans.statuses, spans.steps, first)

    async def ledger(self) -> LedgerFacts:
        """Size, counters and root; the root is that of the size shown, whatever is appended meanwhile."""
        summary = await self._client.summary()
        return LedgerFacts(summary, await self._client.root(summary.size))

    async def _find(self, job: str) -> ExecutionHistory | None:
        found = await self._client.get(job)
        if found is None and job.isdecimal() and len(job) < 19:
            found = await self._client.get(int(job))
        return found
