"""What a process that is forked has to make anew: threads and connections stay with its parent."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from .backends import Backend, Write


def after_fork(method: Callable[[], None]) -> None:
    """Call this bound method in every child, as long as its object lives."""
    if not hasattr(os, "register_at_fork"):  # of Windows
        return
    weak = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := weak()) is not None:
            alive()

    os.register_at_fork(after_in_child=call)


class ForkedBackend:
    """A backend that every child opens for itself, once it needs it."""

    def __init__(self, open: Callable[[], Backend]) -> None:
        self._open = open
        self._lock = threading.Lock()
        self._backend: Backend | None = open()
        self._left: list[Backend | None] = []
        """Of the parents. Never closed, nor collected: the connections are theirs."""
        after_fork(self._leave)

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the repository, and wait for its answer."""
        return self._opened().call(method, *arguments, **options)

    def send(self, writes: Sequence[Write]) -> list[Exception | None]:
        """Write together what is to be written in this order; of each, why it was refused, or None."""
        return self._opened().send(writes)

    def close(self) -> None:
        """Let go of it, once all is written."""
        if self._backend is not None:
            self._backend.close()

    def _opened(self) -> Backend:
        with self._lock:
            if self._backend is None:
                self._backend = self._open()
            return self._backend

    def _leave(self) -> None:
        self._lock = threading.Lock()
        self._left.append(self._backend)
        self._backend = None
