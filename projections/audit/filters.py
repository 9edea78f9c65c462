"""What events may be narrowed by, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

import msgspec

from ...domain import EXECUTION_CATALOG, FIELDS, InvalidInput, parse_status
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_int, check_text, check_time, check_trace_id, shown

TYPES: tuple[str, ...] = tuple(event.TOPIC for event in EXECUTION_CATALOG)
"""The stored names of all events."""

SEPARATOR = "\x1f"
"""Stands between the texts of an event that free text is looked for in."""


class EventFilters(TypedDict, total=False):
    """What events may be narrowed by; every given filter must hold."""

    actor: str | None
    type: str | Iterable[str] | None
    """Stored names, with or without the prefix `execution.`."""
    job_id: str | None
    status: str | Iterable[str] | None
    """Events by which an execution reached this status, or one of these."""
    recorded_from: datetime | str | None
    recorded_before: datetime | str | None
    occurred_from: datetime | str | None
    """Happened at this time or later: by the reporter's clock, or when it was recorded where no one told."""
    occurred_before: datetime | str | None
    correlation_id: str | None
    trace_id: str | None
    changed_field: str | None
    """Events that set this field of an execution."""
    text: str | None
    """Part of a reason, an error, a message or a note. ASCII letters match in either case, all others as they are."""
    after: int | None
    """Only positions above this one."""
    before: int | None
    """Only positions below this one."""


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A checked set of filters; what is None does not narrow."""

    actor: str | None = None
    type: tuple[str, ...] | None = None
    job_id: str | None = None
    status: tuple[str, ...] | None = None
    recorded_from: datetime | None = None
    recorded_before: datetime | None = None
    occurred_from: datetime | None = None
    occurred_before: datetime | None = None
    correlation_id: str | None = None
    trace_id: str | None = None
    changed_field: str | None = None
    text: str | None = None
    after: int | None = None
    before: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Filters:
        """Check filters; an unknown or wrong one is refused by name."""
        return cls(**{name: _check(name, value) for name, value in given.items() if value is not None})

    def given(self) -> dict[str, Any]:
        """Those that narrow, as plain JSON values."""
        return msgspec.to_builtins(self)


def _check(name: str, value: Any) -> Any:
    match name:
        case "actor" | "correlation_id" | "job_id":
            return check_text(value, name, KEY_LENGTH)
        case "trace_id":
            return check_trace_id(value)
        case "type":
            return _several(name, value, _type)
        case "status":
            return _several(name, value, lambda each: parse_status(each).value)
        case "recorded_from" | "recorded_before" | "occurred_from" | "occurred_before":
            return check_time(value, name)
        case "after" | "before":
            return check_int(value, name, 0)
        case "changed_field":
            return _field(value)
        case "text":
            return _text(value)
        case _:
            names = ", ".join(EventFilters.__annotations__)
            raise InvalidInput(field=name, problem="is not a filter", remedy=f"Use: {names}.")


def _several(name: str, value: Any, check: Any) -> tuple[str, ...]:
    several = isinstance(value, Iterable) and not isinstance(value, str)
    checked = tuple(dict.fromkeys(check(each) for each in (value if several else [value])))
    if not checked:
        raise InvalidInput(field=name, problem="is empty", remedy="Name one, or leave it out.")
    return checked


def _type(value: Any) -> str:
    name = check_text(value, "type", KEY_LENGTH)
    name = name if "." in name else f"execution.{name}"
    if name not in TYPES:
        raise InvalidInput(field="type", problem=f"{value!r} is not an event", remedy=f"Use: {', '.join(TYPES)}.")
    return name


def _field(value: Any) -> str:
    if value not in FIELDS:
        raise InvalidInput(
            field="changed_field",
            problem=f"{shown(value)} is not a field of an execution",
            remedy=f"Use: {', '.join(FIELDS)}.",
        )
    return value


def _text(value: Any) -> str:
    text = check_text(value, "text", KEY_LENGTH, min_length=1)
    if SEPARATOR in text:
        raise InvalidInput(
            field="text", problem="holds a unit separator (U+001F)", remedy="Look for what is around it."
        )
    return text
