"""The log of a service: one record an event, each with an `action`, as text for people or JSON for programs."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.config import dictConfig
from typing import Any

from pythonjsonlogger.msgspec import MsgspecFormatter
from uvicorn.logging import DefaultFormatter

from ...infrastructure import Settings

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request under way: every record that is made during it has it."""


def configure_log(settings: Settings) -> None:
    """Set the process's logging up: for itself alone, so a library may not."""
    dictConfig(_config(settings))
    # Looked up for each record, and in none of ours (see "Optimization" in the documentation of `logging`).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    setattr(logging, "_srcfile", None)  # noqa: B010 (its type says str)


def _config(settings: Settings) -> dict[str, Any]:
    """All to standard error."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    formatter = {"()": f"{__name__}.{'JsonFormatter' if as_json else 'TextFormatter'}"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"complete": {"()": f"{__name__}.Complete"}},
        "formatters": {"chosen": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "chosen", "filters": ["complete"]}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "execution_ledger": {"level": settings.log_level.upper()},
            "uvicorn": {"level": settings.log_level.upper()},
            "uvicorn.access": {"level": "WARNING"},  # `Envelope` tells of requests
            # One line for each connection that came and went is nobody's event.
            "uvicorn.error": {"level": "WARNING" if settings.log_level == "info" else settings.log_level.upper()},
        },
    }


class Complete(logging.Filter):
    """Gives each record what every record has."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never leaves one out."""
        if not hasattr(record, "action"):
            record.action = "server" if record.name == "uvicorn.error" else "library"
        request_id = REQUEST_ID.get()
        if request_id is not None and not hasattr(record, "request_id"):
            record.request_id = request_id
        return True


class JsonFormatter(MsgspecFormatter):
    """One JSON object a line: `time`, `level`, `logger`, `action`, `message`, and what else the record has."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "action", "message"], rename_fields={"levelname": "level", "name": "logger"}
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """With the time in UTC as ISO 8601 first."""
        log_data["time"] = f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        super().add_fields(log_data, record, message_dict)
        log_data.pop("color_message", None)  # uvicorn's


class TextFormatter(DefaultFormatter):
    """A line for people, with colors at a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelprefix)s %(message)s", "%H:%M:%S", use_colors=None)
