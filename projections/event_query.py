"""The ledger's events, filtered by who, what and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import Select

from ..domain import EXECUTION_CATALOG, InvalidInput, stream_id
from ..domain.limits import KEY_LENGTH
from ..domain.values import check_int, check_text, check_time, check_trace_id
from ..infrastructure.tables import execution_events
from .recorded_event import select_events

TYPES: tuple[str, ...] = tuple(event.TOPIC for event in EXECUTION_CATALOG)
"""The stored names of all events."""


class EventFilters(TypedDict, total=False):
    """What events may be narrowed by; every given filter must hold."""

    actor: str | None
    type: str | Iterable[str] | None
    """Stored names, with or without the prefix `execution.`."""
    recorded_from: datetime | str | None
    recorded_before: datetime | str | None
    job_id: str | None
    correlation_id: str | None
    trace_id: str | None
    after: int | None
    """Only positions above this one."""
    before: int | None
    """Only positions below this one."""


def event_page(ledger: str, limit: int, filters: Mapping[str, Any], *, newest_first: bool) -> Select[Any]:
    """One page, in the order of positions. Page on with `after` or `before` the last position seen."""
    column = execution_events.c
    statement = select_events(ledger)
    for name, value in filters.items():
        if value is None:
            continue
        match name:
            case "actor" | "correlation_id":
                statement = statement.where(column[name] == check_text(value, name, KEY_LENGTH))
            case "trace_id":
                statement = statement.where(column.trace_id == check_trace_id(value))
            case "type":
                types = _types(value)
                one = len(types) == 1
                statement = statement.where(column.type == types[0] if one else column.type.in_(types))
            case "recorded_from":
                statement = statement.where(column.recorded_at >= check_time(value, name))
            case "recorded_before":
                statement = statement.where(column.recorded_at < check_time(value, name))
            case "job_id":
                execution_id = stream_id(ledger, check_text(value, name, KEY_LENGTH))
                statement = statement.where(column.execution_id == execution_id)
            case "after":
                statement = statement.where(column.position > check_int(value, name, 0))
            case "before":
                statement = statement.where(column.position < check_int(value, name, 0))
            case _:
                names = ", ".join(EventFilters.__annotations__)
                raise InvalidInput(field=name, problem="is not a filter", remedy=f"Use: {names}.")
    return statement.order_by(column.position.desc() if newest_first else column.position).limit(limit)


def _types(value: Any) -> list[str]:
    several = isinstance(value, Iterable) and not isinstance(value, str)
    values: list[Any] = list(value) if several else [value]
    types = []
    for each in values:
        name = check_text(each, "type", KEY_LENGTH)
        name = name if "." in name else f"execution.{name}"
        if name not in TYPES:
            raise InvalidInput(field="type", problem=f"{each!r} is not an event", remedy=f"Use: {', '.join(TYPES)}.")
        types.append(name)
    if not types:
        raise InvalidInput(field="type", problem="is empty", remedy="Name an event, or leave it out.")
    return types
