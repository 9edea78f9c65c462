"""How a process of the service ends where what it waits for never comes."""

from __future__ import annotations

import logging
import os
import signal
import threading

GRACE = 10
"""Seconds that requests under way get to finish after the service was told to end."""
_LONGEST = 2 * GRACE
"""Seconds that all of it may take."""

_log = logging.getLogger("execution_ledger.api")


def end_if_again(number: int, again: bool) -> None:
    """Where a signal came `again` that asks for the end: a second Ctrl-C waits for nothing."""
    if again and number == signal.SIGINT:
        os._exit(130)


def end_in_time() -> None:
    """Call this once a signal has asked for the end, though not in its handler, which may not start a thread.

    A thread that waits for a silent database cannot be stopped, and would keep the process for as long. To end without
    it loses nothing that was acknowledged.
    """
    timer = threading.Timer(_LONGEST, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    _log.error(
        "ended by force, %d seconds after it was asked to: most likely the database does not answer; "
        "nothing that was acknowledged is lost",
        _LONGEST,
        extra={"action": "ended_by_force"},
    )
    os._exit(3)
