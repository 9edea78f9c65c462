"""Values of columns, as any driver gives them, to values as a caller of the repository gives them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from ...domain import FIELDS, InvalidInput
from ...domain.values import shown

Converter = Callable[[Any], Any]


def converter(name: str, *, decoded: bool) -> Converter:
    """Of a field that is no time or status. `decoded`: the column's values are JSON values, and no text of JSON."""
    match FIELDS[name].kind:
        case "text":
            return lambda value: value if isinstance(value, str) else str(plain(value))
        case "integer":
            return lambda value: _number(name, value, int)
        case "fraction":
            return lambda value: _number(name, value, float)
        case _:
            return plain if decoded else from_json


def from_json(value: Any) -> Any:
    """JSON that a column keeps as text, decoded; other text stays text."""
    if isinstance(value, bytes | str):
        try:
            return msgspec.json.decode(value)
        except (ValueError, RecursionError):
            return value if isinstance(value, str) else plain(value)
    return plain(value)


def plain(value: Any) -> Any:
    """A value as JSON has it; what no JSON has, as text."""
    if isinstance(value, memoryview):
        value = bytes(value)
    return msgspec.to_builtins(value, str_keys=True, enc_hook=str)


def to_time(name: str, value: Any, zone: tzinfo) -> tuple[datetime, str | None]:
    """A time of a zone, unless it names one; and what is doubtful about it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise InvalidInput(
                field=name, problem=f"{shown(value)} is no time", remedy="Use ISO 8601, or another column."
            ) from error
    if not isinstance(value, datetime):
        raise InvalidInput(field=name, problem=f"{shown(value)} is no time", remedy="Map a column of times.")
    if value.tzinfo is not None:
        return value, None
    first, second = (value.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    doubt = None
    if first.utcoffset() != second.utcoffset():
        doubt = f"{name} is a time that clocks in {zone} showed twice, or never: the first is taken"
    return first.astimezone(UTC), doubt


def _number(name: str, value: Any, kind: type[Any]) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            field=name, problem=f"{shown(value)} is no number", remedy="Map a column of numbers."
        ) from error
    return int(value) if kind is int and number.is_integer() and not isinstance(value, bool) else value
