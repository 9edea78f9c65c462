"""Stopping a process in the middle of its work, as a machine does that is suspended."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing

from sqlalchemy import make_url


def suspend(send_signal: Callable[[int], None], url: str) -> None:
    """Stop it; on SQLite not just while it has the one lock of the file at `url`, or everybody would stand still."""
    file = make_url(url)
    while True:
        send_signal(signal.SIGSTOP)
        if file.get_backend_name() != "sqlite":
            return
        try:
            with closing(sqlite3.connect(file.database or "", isolation_level=None)) as database:
                database.execute("PRAGMA busy_timeout = 500")
                database.execute("BEGIN IMMEDIATE")
                database.execute("ROLLBACK")
                return
        except sqlite3.OperationalError:
            send_signal(signal.SIGCONT)
