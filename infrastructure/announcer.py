"""Tells readers that a ledger has grown, after the commit and off the write path."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Condition, Lock, Thread

import msgspec
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

CHANNEL = "execution_ledger"
"""Of LISTEN and NOTIFY. A message is a JSON object of ledgers and their sizes; an empty one says that many grew."""

_DELAY = 0.02
"""Seconds in which news are gathered: NOTIFY takes a lock that all commits of a PostgreSQL server share."""
_MESSAGE = 7_000
"""Bytes of the longest message; the server's bound is 8,000."""
_IDLE = 5.0
"""Seconds without news after which the thread ends."""

Listener = Callable[[Mapping[str, int]], None]
"""Is told sizes of ledgers, on any thread, and returns at once."""


class Announcer:
    """Hands the news to listeners in this process at once, and to other processes by NOTIFY on PostgreSQL.

    Nothing rests on it: who listens looks for himself from time to time. Give it to an `EventStore`; several writers
    and repositories may share one.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        """With an engine for PostgreSQL, other processes are told as well, on a connection of it."""
        self._engine: Engine | None = None
        if engine is not None and engine.dialect.name == "postgresql":
            self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._listeners: set[Listener] = set()
        self._news: dict[str, int] = {}
        self._changed = Condition(Lock())
        self._thread: Thread | None = None
        self._closed = False

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener from now on; what is returned ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def announce(self, sizes: Mapping[str, int]) -> None:
        """Ledgers have these sizes: it is committed."""
        for listener in tuple(self._listeners):
            listener(sizes)
        if self._engine is None or self._closed:
            return
        with self._changed:
            for ledger, size in sizes.items():
                self._news[ledger] = max(size, self._news.get(ledger, 0))
            if self._thread is None:
                self._thread = Thread(target=self._work, name="execution-ledger-announcer", daemon=True)
                with suppress(RuntimeError):  # no thread to be had: who listens will look
                    self._thread.start()
                    return
                self._thread = None
            self._changed.notify()

    def close(self) -> None:
        """Send what is to be told, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._news and not self._closed:
                    self._changed.wait(_IDLE)
                if not self._news:
                    self._thread = None
                    return
            if not self._closed:
                time.sleep(_DELAY)
            with self._changed:
                news, self._news = self._news, {}
            self._notify(news)

    def _notify(self, news: Mapping[str, int]) -> None:
        assert self._engine is not None
        message = msgspec.json.encode(news).decode()
        message = "{}" if len(message.encode()) > _MESSAGE else message
        with suppress(SQLAlchemyError, OSError), self._engine.connect() as connection:
            connection.execute(text("SELECT pg_notify(:channel, :message)"), {"channel": CHANNEL, "message": message})


def read_message(message: str) -> dict[str, int]:
    """The sizes that a message tells; none where it says that many ledgers grew, or is none of ours."""
    try:
        return msgspec.json.decode(message, type=dict[str, int])
    except msgspec.MsgspecError:
        return {}
