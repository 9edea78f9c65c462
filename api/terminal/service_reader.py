"""What the reading commands ask of a service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

from ...infrastructure import Settings
from ...projections import Diff, EventPage, MonotonicClock, Player, RecordedEvent, Timeline
from ...projections.replay.reels import Target
from ..client import AsyncLedgerClient, ServiceError
from .options import actor_of
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

_PAGE = 1_000
"""Executions, or events, that a service gives at once."""
_FRAMES = 100
_FORBIDDEN = 403
_PATIENCE = 5.0
"""Seconds for which a service that does not answer is asked again."""


def open_client(settings: Settings, *, patience: float = _PATIENCE) -> AsyncLedgerClient:
    """A client of the service that the settings name: a context."""
    assert settings.url is not None
    key = None if settings.key is None else settings.key.get_secret_value()
    ledger = settings.ledger if "ledger" in settings.model_fields_set else None
    actor = actor_of(settings) if key is None else settings.actor  # whoever has a key is known by it
    return AsyncLedgerClient(settings.url, key=key, ledger=ledger, actor=actor, patience=patience)


class ServiceReader(Reader):
    """Answers as a service tells."""

    def __init__(self, client: AsyncLedgerClient) -> None:
        super().__init__(client, client)
        self._client = client

    async def known_job_id(self, job: str) -> str:
        """The job id of an execution that is there, or was deleted."""
        try:
            return await super().known_job_id(job)
        except ServiceError as error:
            if error.status == _FORBIDDEN and not job.isdecimal():
                return job  # a key for audits alone may not look
            raise

    async def status(self, job: str) -> Status:
        """What is known of one execution."""
        execution = await self._find(job)
        if execution is None:
            (found,) = await self._client.events(1, job_id=job) or (None,)
            if found is not None:
                raise DeletedExecution(job=job)
            raise UnknownExecution(job=job, ledger=(await self._client.summary()).ledger)
        return await self._ends(execution)

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
        spans = await whole_spans(self._client.spans, job_id)
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

    async def diff(self, job: str, before: int | str, after: int | str | None, by: Any) -> Diff:
        """What changed between two versions or times."""
        found = await self._client.diff(await self.job_id(job), before, after, by=by)
        if found is None:
            raise UnknownExecution(job=job, ledger=(await self._client.summary()).ledger)
        return found

    async def audit(self, limit: int, cursor: str | None, newest_first: bool, filters: Any) -> EventPage:
        """A page of the events that pass every filter, each with what it changed."""
        return await self._client.audit(min(limit, _PAGE), cursor, newest_first=newest_first, **filters)

    async def numbers(self, window: Window) -> Numbers:
        """How runs ended, how long they took, why they failed."""
        return await numbers_of(self._client, window)

    async def follow(
        self, after: int | None, types: list[str] | None, job: str | None
    ) -> AsyncGenerator[RecordedEvent, None]:
        """The events behind a position (without one: those to come), without end."""
        job_id = None if job is None else await self.job_id(job)
        async with aclosing(self._client.follow(after, type=types, job_id=job_id)) as events:
            async for event in events:
                yield event

    async def player(self, job: str, how: Playing) -> Player:
        """Plays a run; its frames have the row after each event."""
        reel = _ServiceReel(self._client, await self.known_job_id(job), how)
        return Player(reel, cast(Any, how.by), MonotonicClock(), how.speed, how.longest_wait)


class _ServiceReel:
    """The events of an execution with its row after each, as a service plays them at full speed."""

    def __init__(self, client: AsyncLedgerClient, job_id: str, how: Playing) -> None:
        self._client, self._job_id, self._first = client, job_id, how.from_version
        self._by = how.by
        self._next = how.from_version

    async def read(self) -> list[tuple[RecordedEvent, Mapping[str, Any] | None]]:
        """The next page."""
        frames = await self._client.frames(self._job_id, self._next, self._next + _FRAMES - 1)
        self._next += len(frames)
        return [(event, None if row is None else vars(row)) for event, row in frames]

    async def wind(self, target: Target) -> None:
        """To a version, or to what happened at an instant."""
        if target.version is not None:
            self._next = max(self._first, target.version)
            return
        assert target.instant is not None, "a run has no positions"
        self._next = self._first
        while page := await self._client.execution_events(self._job_id, _PAGE, from_version=self._next):
            for event in page.events:
                if (event.recorded_at if self._by == "recorded" else event.at) >= target.instant:
                    return
                self._next = event.version + 1
            if page.next_version is None:
                return
