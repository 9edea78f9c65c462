"""Errors of the command line: one line that names the field and the remedy, and an exit status."""

from __future__ import annotations

import os
import sys
import traceback

import typer

EXIT_CODES = {
    0: "done",
    1: "the ledger refused, there is no such execution, or something differs",
    2: "wrong usage; nothing was done",
    3: "the database or service is missing, not migrated, or cannot be reached",
}
"""Of all commands but `record`, which ends with the status of the command that it runs."""
MEANINGS_OF_1 = {
    "doctor": "something is wrong",
    "import crud": "a row was refused; the others were brought in",
    "import openlineage": "a line was refused; the others were recorded",
    "rebuild": "with `--check`, something would change",
    "verify": "there is a difference",
    "webhooks replay": "one was not taken",
    "webhooks test": "it was not taken",
}
"""Command → what it says by 1, beside that the ledger refused."""
SIGNAL_EXIT_CODES = {130: "Ctrl-C", 141: "whoever read the output went away"}
RECORD_EXIT_CODES = {
    125: "`record` failed: nothing was run, or its outcome is not recorded",
    126: "the command cannot be executed",
    127: "the command was not found",
    128: "plus the number of the signal that ended the command",
}
TRACEBACK_VARIABLE = "EXECUTION_LEDGER_TRACEBACK"

_OPTIONS: dict[str, str] = {
    "changed_field": "--field",
    "correlation_id": "--correlation",
    "cursor": "--cursor",
    "database_url": "--database",
    "from_version": "--from",
    "map": "--map",
    "parent_job_id": "--parent",
    "recorded_before": "--until",
    "recorded_from": "--since",
    "run_name_prefix": "--name-prefix",
    "scopes": "--scope",
    "status": "--status",
    "table": "--table",
    "text": "--text",
    "trace_id": "--trace",
    "type": "--type",
}
"""Fields of the library → the options that they are given by."""
_USAGE: type[Exception] = typer.BadParameter.__mro__[2]  # the common base: typer has no public name for it


class UsageProblem(Exception):
    """The arguments are wrong."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}. {remedy}")


def explain(error: Exception) -> tuple[int, str]:
    """The exit status and the message for an error."""
    if isinstance(error, UsageProblem):
        return 2, str(error)
    if isinstance(error, _USAGE):
        from .places import refuse_unknown_option

        if (refused := refuse_unknown_option(error)) is not None:
            return 2, str(refused)
        return 2, f"{error.format_message().rstrip('.?')}. See --help."  # type: ignore[attr-defined]
    # Here, since these take a second to import, and wrong usage should be told at once.
    from ...domain import (
        EngineNotConfigured,
        InvalidInput,
        LedgerBusy,
        LedgerError,
        SchemaNotReady,
        SchemaTooNew,
        StoreError,
        StoreUnavailable,
    )
    from ..runtime import NothingRecorded

    message = str(error).replace("?.", "?")
    unavailable = (NothingRecorded, SchemaTooNew, SchemaNotReady, EngineNotConfigured)
    if isinstance(error, (*unavailable, StoreUnavailable, StoreError, LedgerBusy)):
        return 3, message
    if isinstance(error, InvalidInput):
        field = str(error.details.get("field"))
        option = _OPTIONS.get(field, field)
        if option.startswith("--"):
            return 2, option + message.removeprefix(field)
    if isinstance(error, LedgerError):
        return 1, message
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None:
            return 1, f"The output could not be written: {error.strerror}. Make room, or write it elsewhere."
        return 1, f"{error.filename}: {error.strerror}. Name a place that you may read and write."
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    return 1, f"{type(error).__name__}: {message}. This is a bug; {TRACEBACK_VARIABLE}=1 shows where."


def print_error(message: str) -> None:
    """One line on the error stream."""
    from .show_text import discard, line

    try:
        print(f"error: {line(message)}", file=sys.stderr, flush=True)
    except OSError:  # nobody reads it; the exit status still tells
        discard(sys.stderr)
