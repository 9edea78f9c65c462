"""Addresses of hosts, as the system finds them: in threads, since `getaddrinfo` waits, and nothing makes it give up.

The threads of an executor would not do: there are so many for all, and a process waits for them at its end.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from threading import Thread
from weakref import WeakValueDictionary

Resolve = Callable[[str], Awaitable[Iterable[str]]]
"""The addresses of a host."""

_AT_ONCE = 16
"""Hosts that are looked up at once for one ledger; what hangs is counted until it ends, be it waited for or not."""


class LookUps:
    """Looks hosts up. Names that nobody answers for hold up their own ledger, no other one."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def find(self, host: str, ledger: str) -> Iterable[str]:
        """The addresses of a host, once it is the ledger's turn."""
        gate = self._gates.setdefault(ledger, asyncio.Semaphore(_AT_ONCE))
        await gate.acquire()
        task = asyncio.ensure_future(self._resolve(host))

        def end(task: asyncio.Future[Iterable[str]]) -> None:
            gate.release()
            if not task.cancelled():
                task.exception()  # told to whoever waits, if anybody still does

        task.add_done_callback(end)
        return await asyncio.shield(task)


async def look_up(host: str) -> list[str]:
    """Ask the system, in a thread that ends with the process."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def tell(addresses: list[str] | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(addresses or [])

    def ask() -> None:
        addresses, failed = None, None
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = [str(entry[4][0]) for entry in found]
        except Exception as error:
            failed = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, addresses, failed)

    Thread(target=ask, name="look-up", daemon=True).start()
    return await answer
