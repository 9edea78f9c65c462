"""Log records as notes of the run that made them."""

from __future__ import annotations

import logging

from .runs import current_run

_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


class NotesHandler(logging.Handler):
    """Writes what is logged inside a run as a note of it; what is logged outside of any is not its business.

    Each note is a write that is waited for: leave `DEBUG` to files.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        run = current_run()
        if run is None or record.name.startswith("execution_ledger"):  # those would make more of themselves
            return
        try:
            level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
            run.note(self.format(record), level=level, source=record.name[:255])
        except Exception:
            self.handleError(record)
