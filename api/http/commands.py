"""One HTTP command for each event of the transition table, and for progress: routes are made from this table.

Those of a batch are named as their routes are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ...domain import Command, Correct, Delete, FinishStep, Note, ReportLateOutcome, StartStep, Update


class HttpCommand(NamedTuple):
    """`POST /executions/{execution_id}/<path>`."""

    path: str
    event: str | None
    """The event of the transition table; None where the status stays."""
    summary: str
    fields: tuple[str, ...]
    """Fields of an execution that the body may set."""
    required: tuple[str, ...] = ()
    example: dict[str, Any] | None = None

    @property
    def operation_id(self) -> str:
        """Stable name for generated clients."""
        return f"{self.path.replace('-', '_')}_execution"


_ENDED = ("result", "partial_results", "message", "completed_at")

COMMANDS: tuple[HttpCommand, ...] = (
    HttpCommand("prepare", "prepared", "It is being prepared", ("message",)),
    HttpCommand("start", "started", "It runs", ("started_at", "message")),
    HttpCommand(
        "progress",
        None,
        "It came further",
        ("progress", "message"),
        ("progress",),
        {"progress": 0.3, "message": "3 of 10"},
    ),
    HttpCommand("request-approval", "approval_requested", "It waits for a person", ("message", "partial_results")),
    HttpCommand("approve", "approved", "A person lets it go on", ("message",)),
    HttpCommand("reject", "rejected", "A person ends it", ("message", "completed_at")),
    HttpCommand(
        "stop",
        "stop_requested",
        "Ask it to stop",
        ("stop_reason", "stop_requested_by", "message"),
        (),
        {"stop_reason": "costs too much", "stop_requested_by": "ada"},
    ),
    HttpCommand("confirm-stop", "stopped", "It stopped as asked", ("stop_reason", "stop_requested_by", *_ENDED)),
    HttpCommand("complete", "completed", "It did its work", _ENDED, (), {"result": {"rows": 7}}),
    HttpCommand("fail", "failed", "It did not do its work", ("error", *_ENDED), ("error",), {"error": "no space left"}),
    HttpCommand("cancel", "cancelled", "It is called off", ("stop_reason", "stop_requested_by", *_ENDED)),
)


def _by(event: str | None) -> Callable[[Mapping[str, Any]], Command]:
    return Update.of if event is None else partial(Update.by, event)


_MAKERS: dict[str, Callable[[Mapping[str, Any]], Command]] = {
    **{command.path: _by(command.event) for command in COMMANDS},
    "update": Update.of,
    "correct": Correct.of,
    "late-outcome": lambda fields: ReportLateOutcome.of(**fields),
    "start-step": lambda fields: StartStep.of(**fields),
    "finish-step": lambda fields: FinishStep.of(**fields),
    "note": lambda fields: Note.of(**fields),
    "delete": lambda _: Delete(),
}


def make_command(name: str, fields: Mapping[str, Any]) -> Command:
    """The command of this name in a batch, with its own fields."""
    return _MAKERS[name](fields)
