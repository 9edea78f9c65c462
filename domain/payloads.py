"""The payloads of events: what an event says beyond who, when and why. Stored as plain, flat JSON."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class Payload(msgspec.Struct, frozen=True):
    """Base of all payloads."""

    def changes(self) -> dict[str, Any]:
        """Columns that the projected row takes over, by name: the row is the merge of these in order."""
        return {}

    def step(self) -> dict[str, Any] | None:
        """Columns that the row of a step takes over, with its `step_id`, where the payload is about a step."""
        return None


class StepOutcome(StrEnum):
    """How a step ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class NoteLevel(StrEnum):
    """How serious a note is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class StepStart(Payload, frozen=True, omit_defaults=True, kw_only=True):
    """A step began."""

    step_id: str
    name: str
    started_at: datetime
    kind: str | None = None
    parent_step_id: str | None = None
    attributes: dict[str, Any] | None = None

    def step(self) -> dict[str, Any]:
        """An open step."""
        return {
            "step_id": self.step_id,
            "parent_step_id": self.parent_step_id,
            "name": self.name,
            "kind": self.kind,
            "started_at": self.started_at,
        }


class StepFinish(Payload, frozen=True, omit_defaults=True, kw_only=True):
    """A step ended."""

    step_id: str
    outcome: str
    finished_at: datetime
    result: Any = None
    error: str | None = None

    def step(self) -> dict[str, Any]:
        """The step, ended."""
        return {"step_id": self.step_id, "outcome": self.outcome, "finished_at": self.finished_at}


class NoteText(Payload, frozen=True, omit_defaults=True, kw_only=True):
    """Something worth keeping was said."""

    text: str
    level: str = "info"
    source: str | None = None
    step_id: str | None = None
    data: Any = None


class Nothing(Payload, frozen=True):
    """No payload."""


class Erased(Payload, frozen=True):
    """Stands in for a payload that was erased: that the event happened stays, what it said is gone."""
