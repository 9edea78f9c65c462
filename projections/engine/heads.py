"""The sizes of ledgers as they grow, for all who wait for that in one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from ...domain.values import check_seconds
from ...infrastructure.announcer import CHANNEL, Announcer, read_message
from ...infrastructure.connections import psycopg_url
from ...infrastructure.tables import ledgers

_RETRY = 1.0
"""Seconds after which a listening connection that was lost is opened again."""


class Heads:
    """Knows the sizes of ledgers: told by an `Announcer` of this process, by NOTIFY, and by looking from time to time.

    Open it by `async with heads.watching()`. Whoever waits looks at nothing himself, so that any number may wait.
    """

    def __init__(self, engine: AsyncEngine, *, announcer: Announcer | None = None, poll: float = 1.0) -> None:
        """`poll` is after how many seconds it looks, where it was told of nothing; while nobody waits it does not."""
        self._engine = engine
        self._announcer = announcer
        self._poll = check_seconds(poll, "poll")
        self._sizes: dict[str, int] = {}
        self._changed: dict[str | None, asyncio.Event] = {}
        """Set at the next growth of a ledger; of any, for None."""
        self.growths = 0
        """How often any ledger was heard to have grown: taken before a look, so that `wait_for_any` misses nothing."""
        self._waiting = 0
        self._wanted = asyncio.Event()
        self._looked = 0.0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Heads]:
        """Watch as long as the context lasts."""
        loop = asyncio.get_running_loop()

        def hear(sizes: Mapping[str, int]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.tell, dict(sizes))

        deafen = self._announcer.listen(hear) if self._announcer is not None else lambda: None
        tasks = [asyncio.create_task(self._look_again())]
        if self._engine.dialect.name == "postgresql":
            tasks.append(asyncio.create_task(self._listen()))
        try:
            yield self
        finally:
            deafen()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def size(self, ledger: str) -> int:
        """The largest size that was heard of; 0 where nothing was."""
        return self._sizes.get(ledger, 0)

    def known(self) -> list[str]:
        """The ledgers that were heard of, in the order of their names."""
        return sorted(self._sizes)

    def tell(self, sizes: Mapping[str, int]) -> None:
        """Ledgers have at least these sizes."""
        grown = [name for name, size in sizes.items() if size > self._sizes.get(name, 0)]
        self._sizes.update((name, sizes[name]) for name in grown)
        self.growths += len(grown)
        for name in (*grown, None) if grown else ():
            if (changed := self._changed.pop(name, None)) is not None:
                changed.set()

    async def wait(self, ledger: str, beyond: int, timeout: float | None = None) -> bool:
        """Wait until a ledger has more than so many events; False where it has not in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.size(ledger) <= beyond:
            if not await self._wait_for(ledger, deadline):
                return False
        return True

    async def wait_for_any(self, timeout: float | None = None, *, since: int | None = None) -> bool:
        """Wait until any ledger grows, or has grown since there were so many `growths`."""
        if since is not None and self.growths != since:
            return True
        return await self._wait_for(None, None if timeout is None else time.monotonic() + timeout)

    async def _wait_for(self, ledger: str | None, deadline: float | None) -> bool:
        changed = self._changed.setdefault(ledger, asyncio.Event())
        self._waiting += 1
        self._wanted.set()
        try:
            await asyncio.wait_for(changed.wait(), None if deadline is None else deadline - time.monotonic())
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def look(self) -> None:
        """Read the sizes of all ledgers now."""
        async with self._engine.connect() as connection:
            found = (await connection.execute(select(ledgers.c.ledger_id, ledgers.c.size))).all()
        self.tell({row.ledger_id: row.size for row in found})

    async def _look_again(self) -> None:
        while True:
            if not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            with suppress(SQLAlchemyError, OSError):  # the database is away: once more, later
                await self.look()
            await asyncio.sleep(self._poll)

    async def _listen(self) -> None:
        import psycopg  # here, since SQLite needs none of it

        while True:
            with suppress(psycopg.Error, OSError):
                url = psycopg_url(self._engine.url)
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    with suppress(SQLAlchemyError, OSError):
                        await self.look()  # what was told while nobody listened
                    async for notification in connection.notifies():
                        if sizes := read_message(notification.payload):
                            self.tell(sizes)
                        else:
                            with suppress(SQLAlchemyError, OSError):
                                await self.look()
            await asyncio.sleep(_RETRY)
