"""What a process that is forked has to make anew: threads and connections stay with its parent."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .backends import Backend, Write

FORK_PATIENCE = 1.0
"""Seconds that a fork waits for what is being written."""


def after_fork(method: Callable[[], Any]) -> None:
    """Call this bound method in every child, as long as its object lives."""
    _register(after_in_child=method)


def before_fork(method: Callable[[], Any]) -> None:
    """Call this bound method in a process that is about to fork, as long as its object lives."""
    _register(before=method)


def _register(**methods: Callable[[], Any]) -> None:
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(**{when: _weakly(method) for when, method in methods.items()})


def _weakly(method: Callable[[], Any]) -> Callable[[], None]:
    weak = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := weak()) is not None:
            alive()

    return call


class ForkedBackend:
    """A backend that every child opens for itself, once it needs it.

    A fork waits for the calls that are under way: SQLite would leave its locks to the child for ever.
    """

    def __init__(self, open: Callable[[], Backend]) -> None:
        self._open = open
        self._backend: Backend | None = open()
        self._left: list[Backend | None] = []
        """Of the parents. Never closed, nor collected: the connections are theirs."""
        self._begin()
        _register(before=self._hold, after_in_parent=self._go_on, after_in_child=self._leave)

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the repository, and wait for its answer."""
        with self._using() as backend:
            return backend.call(method, *arguments, **options)

    def send(self, writes: Sequence[Write]) -> list[Exception | None]:
        """Write together what is to be written in this order; of each, why it was refused, or None."""
        with self._using() as backend:
            return backend.send(writes)

    def close(self) -> None:
        """Let go of it, once all is written."""
        if self._backend is not None:
            self._backend.close()

    @contextmanager
    def _using(self) -> Iterator[Backend]:
        with self._changed:
            self._changed.wait_for(lambda: not self._forking)
            if self._backend is None:
                self._backend = self._open()
            self._calls += 1
        try:
            yield self._backend
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._calls = 0
        self._forking = False

    def _hold(self) -> None:
        if self._changed.acquire(timeout=FORK_PATIENCE):
            self._forking = True
            self._changed.wait_for(lambda: not self._calls, FORK_PATIENCE)
            self._changed.release()

    def _go_on(self) -> None:
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def _leave(self) -> None:
        self._begin()
        self._left.append(self._backend)
        self._backend = None
