"""Where what is recorded goes: to a database, or to a service. Both are called with the repository's methods."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import Any, Protocol

from ...infrastructure import ExecutionRepository, Settings
from ..client import LedgerClient
from ..runtime import open_ledger, open_writer


class Backend(Protocol):
    """Calls methods of the repository by name; from any thread."""

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call one, and wait for its answer."""
        ...

    def close(self) -> None:
        """Let go of it, once all is written."""
        ...


class ServiceBackend:
    """A service, by its client."""

    def __init__(self, url: str, ledger: str | None, actor: str | None, key: str | None) -> None:
        self._client = LedgerClient(url, ledger=ledger, actor=actor, key=key)

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Over HTTP."""
        return getattr(self._client, method)(*arguments, **options)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


class DatabaseBackend:
    """A database, on an event loop in a thread of its own; writes go in groups."""

    def __init__(self, url: str, ledger: str | None, actor: str | None) -> None:
        given = {"database_url": url, "ledger": ledger, "actor": actor}
        self._settings = Settings(**{name: value for name, value in given.items() if value is not None})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="execution-ledger", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        try:
            self._wait(self._open())
        except BaseException:
            self._end()
            raise

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """On the loop."""
        return self._wait(self._call(method, arguments, options))

    def close(self) -> None:
        """Write what waits, and end the thread."""
        if not self._loop.is_closed():
            self._wait(self._stack.aclose())
            self._end()

    async def _open(self) -> None:
        self._ledger = await self._stack.enter_async_context(open_ledger(self._settings))
        self._writer = await self._stack.enter_async_context(open_writer(self._ledger))

    async def _call(self, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        async with self._ledger.sessions() as session:
            repository = ExecutionRepository(
                session, ledger=self._settings.ledger, writer=self._writer, actor=self._settings.actor
            )
            return await getattr(repository, method)(*arguments, **options)

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
