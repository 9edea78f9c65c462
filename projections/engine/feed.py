"""The events of ledgers as they come: first what there is from a position on, then what is appended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from ...domain import InvalidInput, check_ledger, stream_id
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_int, check_seconds, check_text
from ...infrastructure.database_errors import translated
from ...infrastructure.root import read_size
from ...infrastructure.tables import execution_events, ledgers
from ..recorded_event import RecordedEvent, select_events, to_recorded_event
from .heads import Heads

_PAGE = 500
_WINDOW = 20_000
"""Positions that are looked through at once for the few that a filter lets pass."""


class Feed:
    """Subscriptions to ledgers. Each reads page by page for itself, so that a slow one keeps nobody waiting.

    No subscription keeps a connection while it waits, and all of them wait for the same `Heads`. Close it by `aclose`
    before its engine is disposed of.
    """

    def __init__(self, engine: AsyncEngine, heads: Heads) -> None:
        self._engine = engine
        self._heads = heads
        self._reads: dict[Hashable, asyncio.Task[Any]] = {}

    async def read(self, page: Callable[..., Any], *given: Hashable) -> Any:
        """Read in a transaction; subscriptions that ask the same while it is under way share the answer.

        None of them can miss anything: each tells how far it has read, and asks again where the ledger has grown since.
        """
        key = (page, *given)
        task = self._reads.get(key)
        if task is None or task.done():
            task = self._reads[key] = asyncio.create_task(self._run(page, *given))
            task.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Wait for what is being read: whoever asked may be gone, and its connection is still to go back."""
        if self._reads:
            await asyncio.wait(self._reads.values())

    def _forget(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._reads[key] is task:
            del self._reads[key]
        if not task.cancelled():
            task.exception()  # told to whoever waits, if anybody still does

    async def _run(self, read: Callable[..., Any], *given: Any) -> Any:
        with translated():
            async with self._engine.connect() as connection:
                return await connection.run_sync(read, *given)

    def subscribe(
        self,
        ledger: str | None = "default",
        after: int | Mapping[str, int] | None = None,
        *,
        types: Collection[str] | None = None,
        job_id: str | None = None,
        idle: float | None = None,
    ) -> Subscription:
        """Events of a ledger, or of all for None, in the order of their positions: `async for event in subscription`.

        `after` is the last position that was seen, by ledger where it is all of them; 0 begins with the first event,
        None with the next one that is appended. With `idle`, None is yielded after so many seconds without an event, so
        that a caller can show that he is there. Resume with `subscription.cursor`.
        """
        if isinstance(after, int):
            check_int(after, "after", 0)
        if ledger is None and isinstance(after, int) and after:
            raise InvalidInput(
                field="after", problem="is one position for all ledgers", remedy="Send a position for each, or 0."
            )
        if ledger is not None and isinstance(after, Mapping):
            after = after.get(ledger)
        if job_id is not None and ledger is None:
            raise InvalidInput(field="job_id", problem="needs its ledger", remedy="Name the ledger, too.")
        return Subscription(
            self,
            self._heads,
            None if ledger is None else check_ledger(ledger),
            after,
            None if types is None else _check_types(types),
            None if job_id is None else check_text(job_id, "job_id", KEY_LENGTH),
            None if idle is None else check_seconds(idle, "idle"),
        )


class Subscription(AsyncIterator[RecordedEvent | None]):
    """Events as they come. It holds a page of them, and no connection."""

    def __init__(
        self,
        feed: Feed,
        heads: Heads,
        ledger: str | None,
        after: int | Mapping[str, int] | None,
        types: Collection[str] | None,
        job_id: str | None,
        idle: float | None,
    ) -> None:
        self._feed = feed
        self._heads = heads
        self._ledger = ledger
        self._types = types
        self._job_id = job_id
        self._idle = idle
        self._begin = after
        self._begun = False
        self._read: dict[str, int] = {}
        """How far each ledger was read into the page."""
        self._page: list[RecordedEvent] = []
        """In reverse."""
        self.cursor: dict[str, int] = {}
        """The last position of each ledger that was handed out, or passed over: where to resume."""

    async def __anext__(self) -> RecordedEvent | None:
        """The next event; None where there was none for as long as `idle` says."""
        if not self._begun:
            await self._start()
        while not self._page:
            if not await self._read_on() and not await self._wait():
                return None
        event = self._page.pop()
        self.cursor[event.ledger_id] = event.position
        if not self._page:
            self.cursor.update(self._read)
        return event

    async def _start(self) -> None:
        """From where on: nothing that is appended from now on may be missed, nor anything older come."""
        if self._begin is None:
            self._read = dict(await self._feed.read(_sizes, self._ledger))
        elif isinstance(self._begin, Mapping):
            self._read = dict(self._begin)
        elif self._ledger is not None:
            self._read = {self._ledger: self._begin}
        self.cursor = dict(self._read)
        self._begun = True

    async def _read_on(self) -> bool:
        """Read the next page of some ledger, where one has grown; False where none has."""
        for name in [self._ledger] if self._ledger is not None else self._heads.known():
            after = self._read.get(name, 0)
            if self._ledger is None and self._heads.size(name) <= after:
                continue
            upto, events = await self._feed.read(read_page, name, after, self._types, self._job_id)
            if upto > after:
                self._read[name] = upto
                self._page = events[::-1]
                if not events:
                    self.cursor[name] = upto
                return True
        return False

    async def _wait(self) -> bool:
        if self._ledger is not None:
            return await self._heads.wait(self._ledger, self._read.get(self._ledger, 0), self._idle)
        return await self._heads.wait_for_any(self._idle)


def _check_types(types: Any) -> tuple[str, ...]:
    if isinstance(types, str):
        raise InvalidInput(field="types", problem="is one string", remedy="Send a list of stored types.")
    return tuple(check_text(each, "types", KEY_LENGTH) for each in types)


def _sizes(connection: Connection, ledger: str | None) -> dict[str, int]:
    head = select(ledgers.c.ledger_id, ledgers.c.size)
    if ledger is not None:
        head = head.where(ledgers.c.ledger_id == ledger)
    return {row.ledger_id: row.size for row in connection.execute(head)}


def read_page(
    connection: Connection,
    ledger: str,
    after: int,
    types: Collection[str] | None = None,
    job_id: str | None = None,
    limit: int = _PAGE,
    size: int | None = None,
) -> tuple[int, list[RecordedEvent]]:
    """Up to which position it was read, and the events up to there.

    With `size` their payloads hold no more characters together, unless there is only one.
    """
    event = execution_events.c
    filtered = types is not None or job_id is not None
    upto = min(read_size(connection, ledger), after + (_WINDOW if filtered else limit))
    if upto <= after:
        return after, []
    page = select_events(ledger).where(event.position > after, event.position <= upto)
    if types is not None:
        page = page.where(event.type.in_(types))
    if job_id is not None:
        page = page.where(event.execution_id == stream_id(ledger, job_id))
    page = page.order_by(event.position)
    if size is not None:
        limit = _number_within(connection, page.limit(limit), size) or limit
    found = [to_recorded_event(row) for row in connection.execute(page.limit(limit))]
    return (found[-1].position if len(found) == limit else upto), found


def _number_within(connection: Connection, page: Select[Any], size: int) -> int | None:
    """How many events of a page hold so many characters, the first one in any case; None where all of them do."""
    total = 0
    for number, length in enumerate(connection.scalars(page.with_only_columns(func.length(execution_events.c.data)))):
        total += length or 0  # none in what was erased
        if number and total > size:
            return number
    return None
