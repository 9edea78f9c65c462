"""What the reading commands ask of a database."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncSession

from ...projections import (
    AuditQueries,
    Diff,
    EventPage,
    Feed,
    Heads,
    LedgerQueries,
    Player,
    Projector,
    RecordedEvent,
    ReplayQueries,
    RunStatistics,
    StatisticsQueries,
    play_run,
)
from ..runtime import Ledger, engine_for_threads
from .reading import (
    DeletedExecution,
    History,
    Numbers,
    Playing,
    Reader,
    Status,
    Story,
    UnknownExecution,
    Window,
    numbers_of,
    whole_spans,
)

_POLL = 0.25
"""Seconds between two looks for new events; on PostgreSQL a service's notices come at once."""


class DatabaseReader(Reader):
    """Answers from the database."""

    def __init__(self, ledger: Ledger, session: AsyncSession) -> None:
        self._ledger = ledger
        self._name = ledger.settings.ledger
        self._session = session
        super().__init__(ledger.executions(session), LedgerQueries(session, ledger=self._name))
        self._replay = ReplayQueries(session, ledger=self._name)

    async def status(self, job: str) -> Status:
        """What is known of one execution."""
        execution = await self._find(job)
        if execution is None:
            events = await self._queries.events(1, job_id=job)
            raise DeletedExecution(job=job) if events else UnknownExecution(job=job, ledger=self._name)
        return await self._ends(execution)

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
        spans = await whole_spans(self._replay.spans, job_id)
        if timeline is None or spans is None:
            raise UnknownExecution(job=job, ledger=self._name)
        (first,) = await self._queries.events(1, newest_first=False, job_id=job_id)
        return Story(execution, timeline, spans.statuses, spans.steps, first)

    async def diff(self, job: str, before: int | str, after: int | str | None, by: Any) -> Diff:
        """What changed between two versions or times."""
        found = await self._replay.diff(await self.job_id(job), before, after, by=by)
        if found is None:
            raise UnknownExecution(job=job, ledger=self._name)
        return found

    async def audit(self, limit: int, cursor: str | None, newest_first: bool, filters: Any) -> EventPage:
        """A page of the events that pass every filter, each with what it changed."""
        audit = AuditQueries(self._session, ledger=self._name)
        return await audit.events(limit, cursor, newest_first=newest_first, **filters)

    async def numbers(self, window: Window) -> Numbers:
        """How runs ended, how long they took, why they failed; what no service has counted yet is counted now."""
        with engine_for_threads(self._ledger.settings) as engine:
            await Projector(engine, (RunStatistics(),)).catch_up()
        return await numbers_of(StatisticsQueries(self._session, ledger=self._name), window)

    async def follow(
        self, after: int | None, types: list[str] | None, job: str | None
    ) -> AsyncGenerator[RecordedEvent, None]:
        """The events behind a position (without one: those to come), without end."""
        heads = Heads(self._ledger.engine, poll=_POLL)
        job_id = None if job is None else await self.job_id(job)
        async with heads.watching(), aclosing(Feed(self._ledger.engine, heads)) as feed:
            async for event in feed.subscribe(self._name, after, types=types, job_id=job_id):
                if event is not None:
                    yield event

    async def player(self, job: str, how: Playing) -> Player:
        """Plays a run; its frames have the row after each event."""
        return play_run(
            self._ledger.engine,
            await self.known_job_id(job),
            ledger=self._name,
            speed=how.speed,
            from_version=how.from_version,
            by=cast(Any, how.by),
            longest_wait=how.longest_wait,
        )
