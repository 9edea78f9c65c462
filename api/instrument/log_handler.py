"""Log records as notes of the run that made them."""

from __future__ import annotations

import logging

from .runs import current_run

_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


class NotesHandler(logging.Handler):
    """Writes what is logged inside a run as a note of it; what is logged outside of any is not its business.

    Nobody waits for that. What the ledger itself logs is no part of a run.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep one record, if it passes the filters.

        Without the lock of a handler: who waits for room would hold up all that log, the threads that make room too.
        """
        if current_run() is None or record.name.startswith("execution_ledger"):
            return False
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        run = current_run()
        if run is None:
            return
        try:
            level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
            run.note(self.format(record), level=level, source=record.name)
        except Exception:
            self.handleError(record)
