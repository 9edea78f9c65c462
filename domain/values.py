"""Checks on what comes in: text, JSON, times and numbers, before anything is decided.

Everything that passes can be stored in SQLite and PostgreSQL, hashed, and read back the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from .errors import InvalidInput

MAX_DEPTH = 100
"""Deepest nesting of a JSON value."""

_INT64 = 2**63

# A database shows times in a zone of its own: nearer to the edges, they would leave the years that Python knows, and a
# row with such a time could be written and never be read again.
_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, tzinfo=UTC)


def shown(value: Any) -> str:
    """The beginning of a value as code, for a message."""
    try:
        return f"{value!r:.40}"
    except ValueError:  # Python prints no integer of thousands of digits
        return "a huge number"


def check_text(value: Any, field: str, max_length: int, *, min_length: int = 0) -> str:
    """A string of `min_length` to `max_length` characters that every store can keep."""
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, str):
        raise InvalidInput(field=field, problem=f"{type(value).__name__} is not text", remedy="Send a string.")
    if not min_length <= len(value) <= max_length:
        problem = "is empty" if not value else f"has {len(value):,} characters, at most {max_length:,} are kept"
        raise InvalidInput(
            field=field, problem=problem, remedy=f"Send {max(min_length, 1)} to {max_length:,} characters."
        )
    return _storable(str(value), field)


def _storable(value: str, field: str) -> str:
    if "\x00" in value:
        raise InvalidInput(field=field, problem="holds a NUL character", remedy="Remove it: no database keeps it.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(
                field=field,
                problem="holds a lone surrogate, which is not Unicode text",
                remedy="Decode the text first.",
            ) from error
    return value


def check_time(value: Any, field: str) -> datetime:
    """A UTC time. A naive datetime is taken as UTC; a string is read as ISO 8601."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidInput(
                field=field, problem=f"{value[:40]!r} is not a time", remedy="Use ISO 8601, as 2026-01-31T08:00:00Z."
            ) from error
    if not isinstance(value, datetime):
        raise InvalidInput(
            field=field, problem=f"{type(value).__name__} is not a time", remedy="Send a datetime (naive means UTC)."
        )
    try:
        time = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        time = None
    if time is None or not _FIRST <= time < _LAST:
        raise InvalidInput(
            field=field, problem="is out of range", remedy="Send a time from 0001-01-02 to 9999-12-30, in UTC."
        )
    return time


def check_int(value: Any, field: str, least: int, most: int = _INT64 - 1) -> int:
    """A whole number between `least` and `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(
            field=field,
            problem=f"{shown(value)} is not such a number",
            remedy=f"Send an integer from {least} to {most}.",
        )
    return int(value)


def check_fraction(value: Any, field: str) -> float:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidInput(
            field=field,
            problem=f"{shown(value)} is not a fraction",
            remedy="Send a number from 0 (nothing) to 1 (all).",
        )
    return float(value)


def check_seconds(value: Any, field: str) -> float:
    """A length of time in seconds: 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise InvalidInput(
            field=field, problem=f"{shown(value)} is no length of time", remedy="Send seconds, 0 or more."
        )
    return float(value)


def check_trace_id(value: Any, field: str = "trace_id") -> str:
    """A W3C trace id: 32 lower-case hexadecimal digits, not all zero."""
    if not isinstance(value, str) or not re.fullmatch(r"(?!0{32})[0-9a-f]{32}", value):
        raise InvalidInput(
            field=field,
            problem=f"{shown(value)} is not a W3C trace id",
            remedy="Send 32 lower-case hexadecimal digits, not all zero.",
        )
    return value


def check_json(value: Any, field: str, depth: int = 0) -> Any:
    """The same value in plain JSON types (tuples become lists); what JSON cannot say is refused with its path."""
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is str:
        return _storable(value, field)
    if kind is int:
        if not -_INT64 <= value < _INT64:
            raise InvalidInput(
                field=field,
                problem="is an integer beyond 64 bits",
                remedy="Send it as a string, so that no reader rounds it.",
            )
        return value
    if kind is float:
        if not math.isfinite(value):
            raise InvalidInput(field=field, problem=f"{value} is not JSON", remedy="Send null or a string instead.")
        return value
    if depth >= MAX_DEPTH:
        raise InvalidInput(
            field=field.split(".")[0].split("[")[0],
            problem=f"is nested deeper than {MAX_DEPTH} levels",
            remedy="Flatten it, or send it as a string.",
        )
    if isinstance(value, Mapping):
        checked: dict[str, Any] = {}
        for name, item in value.items():
            if not isinstance(name, str):
                raise InvalidInput(
                    field=field, problem=f"key {shown(name)} is not a string", remedy="JSON objects have string keys."
                )
            name = _storable(str(name), f"{field} (a key)")
            checked[name] = check_json(item, f"{field}.{name}", depth + 1)
        return checked
    if isinstance(value, (list, tuple)):
        return [check_json(item, f"{field}[{at}]", depth + 1) for at, item in enumerate(value)]
    if isinstance(value, Enum):
        return check_json(value.value, field, depth)
    for plain in (str, int, float):
        if isinstance(value, plain):
            return check_json(plain(value), field, depth)
    raise InvalidInput(
        field=field,
        problem=f"{kind.__name__} is not JSON",
        remedy="Send text, numbers, booleans, null, lists and objects.",
    )


def check_object(value: Any, field: str) -> dict[str, Any]:
    """The same for a JSON object."""
    if not isinstance(value, Mapping):
        raise InvalidInput(field=field, problem=f"{type(value).__name__} is not an object", remedy="Send a dict.")
    return check_json(value, field)
