"""Decisions without a database: an execution in some state, a command, the events that it gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from execution_ledger.domain import Command, Context, Create, Execution, fold

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
LATER = START + timedelta(hours=1)
NOBODY = Context()


class Story:
    """One execution and everything that was recorded of it so far."""

    def __init__(
        self, status: str = "pending", *, context: Context = NOBODY, now: datetime = START, **fields: Any
    ) -> None:
        command = Create.of({"job_id": "job", "status": status, **fields})
        self.execution = Execution.decide(None, command, context, now, "default")
        self.events: list[Any] = list(self.execution.collect_events())

    def ask(self, command: Command, context: Context = NOBODY, now: datetime = LATER) -> list[Any]:
        """The new events that the command gives."""
        self.execution = Execution.decide(self.execution, command, context, now, "default")
        new = list(self.execution.collect_events())
        self.events += new
        return new

    @property
    def row(self) -> dict[str, Any]:
        """The projected row, folded from the events."""
        row = fold(self.events)
        assert row is not None
        return row


def names(events: list[Any]) -> list[str]:
    """The stored names of events."""
    return [event.TOPIC for event in events]
