"""Delivers to all endpoints what they have not had, in one process of any number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Literal, TypeVar

import httpx
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from ...domain import LedgerError
from ...domain.values import check_int
from ...infrastructure.short_transactions import transact
from ...infrastructure.stopwatch import Stopwatch
from ...infrastructure.webhooks import (
    Attempt,
    Due,
    Turn,
    advance,
    broken,
    bury,
    claim,
    disable,
    fail,
    find_due,
    release,
)
from ..engine.feed import read_page
from ..engine.heads import Heads
from ..recorded_event import RecordedEvent
from .messages import event_message
from .retries import Retries
from .sender import Sender

_T = TypeVar("_T")
Outcome = Literal["delivered", "failed", "dead_letter", "disabled"]

_TURN = 200
_LONG = 5.0
"""Events that one endpoint is sent, and seconds that it may take, before the others have their turn."""
_PAGE = 20
_SIZE = 4 * 1024 * 1024
"""Events of an endpoint that are held at once, and characters of their payloads, unless one alone has more."""
_BREATH = 0.05
"""Seconds between two looks for what is due."""
_GRACE = 5.0
"""Seconds that requests under way get to be answered at the end."""
_LONGEST = 60.0
"""Seconds between two looks, where the database does not answer."""
_GONE = 410

_log = logging.getLogger("execution_ledger.webhooks")


class Deliverer:
    """Sends each endpoint the events of its ledger: one after the other, the next once it took the one before.

    `async with deliverer.running():` delivers in the background. An event is noted as delivered after the endpoint
    answered 2xx, so where this process is killed in between it is sent once more.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        heads: Heads,
        sender: Sender,
        *,
        source: str,
        retries: Retries | None = None,
        turns: int = 20,
        poll: float = 1.0,
        tell: Callable[[Outcome], object] = lambda _: None,
    ) -> None:
        """`heads` wakes it when a ledger grows, `poll` in seconds is how often it looks for what may be tried again.

        `turns` endpoints are delivered to at once, of one ledger half as many at most, rounded up. `tell` is told what
        each try came to.
        """
        self._engine = engine
        self._heads = heads
        self._sender = sender
        self._source = source
        self._retries = retries or Retries()
        self._most = check_int(turns, "turns", 1)
        self._poll = poll
        self._tell = tell
        self._hold = 2 * sender.timeout
        self._turns: dict[Due, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Deliverer]:
        """Deliver until the context ends; what is under way then has a few seconds."""
        task = asyncio.create_task(self.run())
        try:
            yield self
        finally:
            self._stopping.set()
            await task

    async def run(self) -> None:
        """Deliver until the context of `running` ends. Errors of the database are logged, and it is tried again."""
        delay = self._poll
        while not self._stopping.is_set():
            growths = self._heads.growths
            try:
                await self._begin_turns()
                delay = self._poll
            except LedgerError as error:
                _log.warning("webhooks wait: %s", error, extra={"action": "webhooks_wait"})
                delay = min(2 * delay, _LONGEST)
            await self._wait(delay, growths)
        await self._end_turns()

    async def _begin_turns(self) -> None:
        if len(self._turns) == self._most:
            return
        for due in await self._do(partial(find_due, limit=self._most)):
            if due not in self._turns and self._may_have(due.ledger):
                task = self._turns[due] = asyncio.create_task(self._take_turn(due))
                task.add_done_callback(lambda _, due=due: self._turns.pop(due))

    def _may_have(self, ledger: str) -> bool:
        """Whether a ledger may have one more turn: none has more than it leaves to the others.

        However many endpoints a ledger has, and however slow they are, the next one finds a turn that is free.
        """
        its = sum(due.ledger == ledger for due in self._turns)
        return its < self._most - len(self._turns)

    async def _end_turns(self) -> None:
        turns = list(self._turns.values())
        if turns:
            await asyncio.wait(turns, timeout=_GRACE)
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    async def _wait(self, seconds: float, growths: int) -> None:
        """Until a ledger grew or a turn ended, at most so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), _BREATH)
            return
        waits: list[asyncio.Task[bool]] = [asyncio.create_task(self._stopping.wait())]
        if len(self._turns) < self._most:
            waits.append(asyncio.create_task(self._heads.wait_for_any(since=growths)))
        await asyncio.wait([*waits, *self._turns.values()], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def _take_turn(self, due: Due) -> None:
        about = {"ledger": due.ledger, "endpoint": due.endpoint_id}
        try:
            turn = await self._do(partial(claim, due=due, seconds=self._hold))
            if turn is None:
                return
            try:
                async with self._sender.line() as line:
                    await self._deliver(line, turn)
            except LedgerError:
                raise
            except Exception as error:  # a bug, or a row that cannot be read: not again in a moment
                _log.exception("a webhook failed", extra={"action": "webhook_broke", **about})
                delay = self._retries.delay(turn.failures + 1)
                await self._do(partial(fail, turn=turn, attempt=broken(error), delay=delay))
            finally:
                await self._do(partial(release, turn=turn))
        except LedgerError as error:  # the claim runs out by itself
            _log.warning("a webhook waits: %s", error, extra={"action": "webhook_waits", **about})

    async def _deliver(self, line: httpx.AsyncClient, turn: Turn) -> None:
        position, failures, begun, held, sent = turn.position, turn.failures, Stopwatch(), Stopwatch(), 0
        while not self._stopping.is_set() and sent < _TURN and begun.seconds < _LONG:
            page = {"ledger": turn.ledger, "after": position, "types": turn.types, "limit": _PAGE, "size": _SIZE}
            upto, events = await self._do(partial(read_page, **page))
            if upto <= position:
                return
            for event in events:
                if self._stopping.is_set() or (sent and begun.seconds >= _LONG):
                    return
                # Whoever slept for so long may not be the only one any more.
                if held.seconds > self._hold - self._sender.timeout:
                    return
                attempt = await self._try(line, turn, event)
                if not await self._note(turn, event, attempt, failures + 1):
                    return
                position, failures, held, sent = event.position, 0, Stopwatch(), sent + 1
            if upto > position:  # past those that it is not sent
                if not await self._do(partial(advance, turn=turn, position=upto, seconds=self._hold, delivered=False)):
                    return
                position, held = upto, Stopwatch()

    async def _try(self, line: httpx.AsyncClient, turn: Turn, event: RecordedEvent) -> Attempt:
        """Send an event once. A bug that only this one meets must not keep those behind it for ever."""
        try:
            return await self._sender.send(line, turn.target, event_message(turn.endpoint_id, event, self._source))
        except Exception as error:
            about = {"ledger": turn.ledger, "endpoint": turn.endpoint_id, "position": event.position}
            _log.exception("an event could not be sent", extra={"action": "webhook_broke", **about})
            return broken(error)

    async def _note(self, turn: Turn, event: RecordedEvent, attempt: Attempt, tries: int) -> bool:
        """Note what a try came to; whether the line goes on."""
        position = event.position
        if attempt.delivered:
            self._tell("delivered")
            return await self._do(
                partial(advance, turn=turn, position=position, seconds=self._hold, delivered=True), single=True
            )
        about = {"ledger": turn.ledger, "endpoint": turn.endpoint_id, "position": position, "status": attempt.status}
        self._tell("failed")
        if attempt.status == _GONE:
            reason = "it answered 410 Gone"
            if await self._do(partial(disable, turn=turn, attempt=attempt, reason=reason)):
                self._tell("disabled")
                _log.warning("a webhook is disabled: %s", reason, extra={"action": "webhook_disabled", **about})
            return False
        if tries >= self._retries.tries:
            rest = self._retries.rest(attempt.retry_after)
            letter = {"position": position, "attempt": attempt, "tries": tries, "seconds": self._hold, "delay": rest}
            buried = await self._do(partial(bury, turn=turn, **letter))
            if buried:
                self._tell("dead_letter")
                _log.warning(
                    "event %d is a dead letter: %s", position, attempt.error,
                    extra={"action": "webhook_dead_letter", **about},
                )  # fmt: skip
            return buried and not rest
        delay = self._retries.delay(tries, attempt.retry_after)
        _log.info(
            "event %d is sent again in %.0f s: %s", position, delay, attempt.error,
            extra={"action": "webhook_failed", **about},
        )  # fmt: skip
        await self._do(partial(fail, turn=turn, attempt=attempt, delay=delay))
        return False

    async def _do(self, work: Callable[[Connection], _T], *, single: bool = False) -> _T:
        return await transact(self._engine, work, single=single)
