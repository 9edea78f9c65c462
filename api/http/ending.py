"""How a process of the service ends where what it waits for never comes."""

from __future__ import annotations

import logging
import os
import signal
from queue import Empty, SimpleQueue
from threading import Thread

GRACE = 10
"""Seconds that requests under way get to finish after the service was told to end."""
_LONGEST = 2 * GRACE
"""Seconds that all of it may take."""

_log = logging.getLogger("execution_ledger.api")


class Watchdog:
    """Ends the process by force, with this status, where it is still there long after a signal asked for its end.

    A thread that waits for a silent database cannot be stopped, and would keep the process for as long. To end without
    it loses nothing that was acknowledged.
    """

    def __init__(self, status: int) -> None:
        self._status = status
        self._told = False
        self._news: SimpleQueue[bool] = SimpleQueue()  # the one that a handler of signals may put into
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    def tell(self, number: int) -> None:
        """Tell of a signal that asks for the end, in its handler. A second Ctrl-C waits for nothing."""
        if self._told and number == signal.SIGINT:
            os._exit(130)
        if not self._told:
            self._told = True
            self._news.put(True)

    def close(self) -> None:
        """All has ended by itself: let the process go on."""
        self._news.put(False)

    def _watch(self) -> None:
        if not self._news.get():
            return
        try:
            self._news.get(timeout=_LONGEST)
        except Empty:
            _log.error(
                "ended by force, %d seconds after it was asked to: most likely the database does not answer; "
                "nothing that was acknowledged is lost",
                _LONGEST,
                extra={"action": "ended_by_force"},
            )
            os._exit(self._status)
