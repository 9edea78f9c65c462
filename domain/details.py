"""The fields of an execution that events set, and who may set them.

`FIELDS` is the one table: the repository, the HTTP layer, the documentation and the tests read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType, to_builtins

from .errors import InvalidInput
from .limits import KEY_LENGTH, TEXT_LENGTH
from .payloads import Payload
from .status import parse_status
from .values import check_fraction, check_int, check_json, check_object, check_text, check_time, shown

_KEPT = (datetime,)


class Details(Payload, frozen=True, omit_defaults=True, kw_only=True):
    """Fields that one event sets; what it leaves alone is unset. Stored flat, as `{"status":"failed","error":…}`."""

    id: int | UnsetType = UNSET
    """The number that it had before it was in a ledger: of the first event alone, and never given by callers."""
    job_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    inputs: Any | UnsetType = UNSET
    result: Any | UnsetType = UNSET
    error: str | UnsetType | None = UNSET
    message: str | UnsetType | None = UNSET
    run_name: str | UnsetType | None = UNSET
    trigger_type: str | UnsetType | None = UNSET
    execution_type: str | UnsetType | None = UNSET
    parent_job_id: str | UnsetType | None = UNSET
    attempt: int | UnsetType = UNSET
    progress: float | UnsetType | None = UNSET
    created_at: datetime | UnsetType = UNSET
    started_at: datetime | UnsetType | None = UNSET
    completed_at: datetime | UnsetType | None = UNSET
    stop_reason: str | UnsetType | None = UNSET
    stop_requested_by: str | UnsetType | None = UNSET
    partial_results: Any | UnsetType = UNSET
    late_outcome: Any | UnsetType = UNSET
    group_email: str | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType | None = UNSET

    def changes(self) -> dict[str, Any]:
        """The fields that are set, by name."""
        return to_builtins(self, builtin_types=_KEPT)  # unset fields are left out: they are defaults


class Field(NamedTuple):
    """One row of the table of fields."""

    kind: str
    """text, json, object, time, integer, fraction or status."""
    nullable: bool = True
    max_length: int = KEY_LENGTH
    create: bool = True
    """May be given when the execution is created."""
    update: bool = True
    """May be changed later."""
    label: bool = False
    """A name or note that may also change after the end: it is no part of the outcome."""


FIELDS: dict[str, Field] = {
    "job_id": Field("text", nullable=False, update=False),
    "status": Field("status", nullable=False),
    "inputs": Field("json"),
    "result": Field("json"),
    "error": Field("text", max_length=TEXT_LENGTH),
    "message": Field("text", max_length=TEXT_LENGTH, label=True),
    "run_name": Field("text", label=True),
    "trigger_type": Field("text"),
    "execution_type": Field("text"),
    "parent_job_id": Field("text"),
    "attempt": Field("integer", nullable=False),
    "progress": Field("fraction"),
    "created_at": Field("time", nullable=False),
    "started_at": Field("time"),
    "completed_at": Field("time"),
    "stop_reason": Field("text", max_length=TEXT_LENGTH),
    "stop_requested_by": Field("text"),
    "partial_results": Field("json"),
    "late_outcome": Field("json", create=False, update=False),
    "group_email": Field("text", label=True),
    "attributes": Field("object", label=True),
}

GIVEN_BY_LEDGER = frozenset({"id", "execution_id", "version", "updated_at", "ledger_id"})
"""Columns that a caller reads and never writes."""

LABELS = frozenset(name for name, field in FIELDS.items() if field.label)


def parse_details(data: Mapping[str, Any], *, creating: bool) -> Details:
    """The checked fields of a create or an update; a wrong or unknown field is refused by name."""
    if not isinstance(data, Mapping):
        raise InvalidInput(
            field="data", problem=f"{type(data).__name__} is not a mapping", remedy="Send a dict of fields."
        )
    return Details(**{name: _parse_field(name, value, creating) for name, value in data.items()})


def _parse_field(name: Any, value: Any, creating: bool) -> Any:
    field = FIELDS.get(name) if isinstance(name, str) else None
    if field is None:
        if name in GIVEN_BY_LEDGER:
            raise InvalidInput(field=name, problem="is given by the ledger", remedy="Leave it out.")
        raise InvalidInput(
            # Escaped, so that a lone surrogate in a name does not keep the message from being printed.
            field=name[:80].encode(errors="backslashreplace").decode() if isinstance(name, str) else shown(name),
            problem="is not a field of an execution",
            remedy='Put what is yours under "attributes".',
        )
    if not (field.create if creating else field.update):
        when = "when an execution is created" if creating else "after an execution was created"
        raise InvalidInput(field=name, problem=f"cannot be set {when}", remedy="Leave it out.")
    if value is None:
        if field.nullable:
            return None
        if creating:
            return UNSET  # as if it were left out: a CRUD model's default
        raise InvalidInput(field=name, problem="cannot be null", remedy="Leave it out, or send a value.")
    return _check(name, value, field)


def _check(name: str, value: Any, field: Field) -> Any:
    match field.kind:
        case "text":
            return check_text(value, name, field.max_length, min_length=0 if field.nullable else 1)
        case "json":
            return check_json(value, name)
        case "object":
            return check_object(value, name)
        case "time":
            return check_time(value, name)
        case "integer":
            return check_int(value, name, 1)
        case "fraction":
            return check_fraction(value, name)
        case "status":
            return parse_status(value, name).value
        case other:
            raise AssertionError(f"no check for {other}")
