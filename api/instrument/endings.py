"""What is to be done before a program ends, while threads can still be started.

`atexit` is too late: since Python 3.12 no thread starts there, and a process of `multiprocessing` never gets there.
In 3.12.0 to 3.12.2 none starts after the main thread (python/cpython#113964): what other threads tell then may be lost.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from .forks import after_fork


class _Endings:
    """Bound methods to call once the program's threads have ended, and the thread that waits for that."""

    def __init__(self) -> None:
        self._forget()
        after_fork(self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._methods: list[weakref.WeakMethod[Callable[[], Any]]] = []
        self._thread: threading.Thread | None = None

    def add(self, method: Callable[[], Any]) -> None:
        with self._lock:
            self._methods = [each for each in self._methods if each() is not None] + [weakref.WeakMethod(method)]
            if self._thread is None:
                # No daemon: the interpreter waits for it, and it waits for the others.
                thread = threading.Thread(target=self._wait, name="execution-ledger-endings", daemon=False)
                thread.start()
                self._thread = thread

    def _wait(self) -> None:
        threading.main_thread().join()
        while others := _others():
            for each in others:
                each.join()
        with self._lock:
            methods = [method() for method in self._methods]
        for method in methods:
            if method is not None:
                method()


def _others() -> list[threading.Thread]:
    """The threads that the interpreter waits for before it ends: until then they may have something to tell."""
    own = threading.current_thread()
    return [each for each in threading.enumerate() if each is not own and not each.daemon and each.is_alive()]


_ENDINGS = _Endings()


def before_the_end(method: Callable[[], Any]) -> None:
    """Call this bound method once all threads but daemons have ended, as long as its object lives."""
    _ENDINGS.add(method)
