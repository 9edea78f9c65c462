"""What can be asked of an execution. Commands are checked when they are made; the rules that need state come later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import msgspec

from .details import Details, parse_details
from .errors import InvalidInput
from .limits import KEY_LENGTH, TEXT_LENGTH
from .payloads import NoteLevel, StepOutcome
from .status import TARGET_OF, ExecutionStatus
from .values import check_json, check_object, check_text, check_time, shown


class Command(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True):
    """Base of all commands; encodes to JSON with its name as `type`, which is what a fingerprint covers."""

    def step_ids(self) -> frozenset[str]:
        """The steps whose rows are needed to decide."""
        return frozenset()


class Create(Command, frozen=True):
    """Create an entity."""

    details: Any

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Create an execution with these fields."""
        return cls(details=parse_details(data, creating=True))


class Update(Command, frozen=True):
    """Change fields. A status among them is a transition; `event` insists on one row of the transition table."""

    changes: Any
    event: str | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any], event: str | None = None) -> Self:
        """Change these fields of an execution."""
        return cls(changes=parse_details(data, creating=False), event=event)

    @classmethod
    def by(cls, event: str, data: Mapping[str, Any] | None = None) -> Self:
        """The transition that `event` names ("approved", "stop_requested" …), with the fields that go with it."""
        if not isinstance(event, str) or event not in TARGET_OF:
            raise InvalidInput(
                field="event", problem=f"{shown(event)} is no transition", remedy=f"Use one of: {', '.join(TARGET_OF)}."
            )
        changes = parse_details({} if data is None else data, creating=False)
        return cls(changes=msgspec.structs.replace(changes, status=TARGET_OF[event].value), event=event)


class Delete(Command, frozen=True):
    """Take the entity out of the projected table; its events stay."""


class Correct(Command, frozen=True):
    """Set fields in spite of the transition table. It needs a reason, and is its own kind of event."""

    changes: Details

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Correct these fields."""
        return cls(changes=parse_details(data, creating=False))


class ReportLateOutcome(Command, frozen=True):
    """Keep the outcome that a worker reports after its run was already ended; the status stays."""

    status: str
    result: Any = None
    error: str | None = None

    @classmethod
    def of(cls, status: str, result: Any = None, error: str | None = None) -> Self:
        """The outcome as reported: a terminal status, with its result or error."""
        parsed = Update.of({"status": status, "error": error}).changes
        if not ExecutionStatus(parsed.status).is_terminal:
            raise InvalidInput(
                field="status", problem=f"{parsed.status} is not an outcome", remedy="Send a terminal status."
            )
        return cls(status=parsed.status, result=check_json(result, "result"), error=parsed.error)


class Expire(Command, frozen=True):
    """End an execution whose lease expired, as a reaper found it: the worker is gone, or stalled for too long."""

    token: int
    holder: str
    expired_at: datetime


class StartStep(Command, frozen=True):
    """Begin a step, inside another one or directly in the run."""

    step_id: str
    name: str
    kind: str | None = None
    parent_step_id: str | None = None
    attributes: dict[str, Any] | None = None
    started_at: datetime | None = None

    @classmethod
    def of(
        cls,
        step_id: str,
        name: str | None = None,
        *,
        kind: str | None = None,
        parent_step_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        started_at: datetime | str | None = None,
    ) -> Self:
        """`step_id` is the caller's, unique in the run; `name` is what people read (the id, if left out)."""
        step_id = _key(step_id, "step_id")
        return cls(
            step_id=step_id,
            name=step_id if name is None else _key(name, "name"),
            kind=None if kind is None else _key(kind, "kind"),
            parent_step_id=None if parent_step_id is None else _key(parent_step_id, "parent_step_id"),
            attributes=None if attributes is None else check_object(attributes, "attributes"),
            started_at=None if started_at is None else check_time(started_at, "started_at"),
        )

    def step_ids(self) -> frozenset[str]:
        """Its own and its parent's."""
        return frozenset(filter(None, (self.step_id, self.parent_step_id)))


class FinishStep(Command, frozen=True):
    """End a step."""

    step_id: str
    outcome: str
    result: Any = None
    error: str | None = None
    finished_at: datetime | None = None

    @classmethod
    def of(
        cls,
        step_id: str,
        outcome: str = StepOutcome.COMPLETED,
        *,
        result: Any = None,
        error: str | None = None,
        finished_at: datetime | str | None = None,
    ) -> Self:
        """`outcome` is one of `StepOutcome`."""
        return cls(
            step_id=_key(step_id, "step_id"),
            outcome=_one_of(StepOutcome, outcome, "outcome"),
            result=check_json(result, "result"),
            error=None if error is None else check_text(error, "error", TEXT_LENGTH),
            finished_at=None if finished_at is None else check_time(finished_at, "finished_at"),
        )

    def step_ids(self) -> frozenset[str]:
        """Its own."""
        return frozenset((self.step_id,))


class Note(Command, frozen=True):
    """Keep a remark, a line of output, a traceback."""

    text: str
    level: str = "info"
    source: str | None = None
    step_id: str | None = None
    data: Any = None

    @classmethod
    def of(
        cls,
        text: str,
        *,
        level: str = NoteLevel.INFO,
        source: str | None = None,
        step_id: str | None = None,
        data: Any = None,
    ) -> Self:
        """`source` says where the text comes from ("stdout"); `step_id` ties it to a step."""
        return cls(
            text=check_text(text, "text", TEXT_LENGTH, min_length=1),
            level=_one_of(NoteLevel, level, "level"),
            source=None if source is None else _key(source, "source"),
            step_id=None if step_id is None else _key(step_id, "step_id"),
            data=check_json(data, "data"),
        )

    def step_ids(self) -> frozenset[str]:
        """The step it is tied to."""
        return frozenset(filter(None, (self.step_id,)))


def _key(value: Any, field: str) -> str:
    return check_text(value, field, KEY_LENGTH, min_length=1)


def _one_of(kind: Any, value: Any, field: str) -> str:
    text = check_text(value, field, KEY_LENGTH).lower()
    if text not in set(kind):
        raise InvalidInput(field=field, problem=f"{text!r} is unknown", remedy=f"Use one of: {', '.join(kind)}.")
    return text
