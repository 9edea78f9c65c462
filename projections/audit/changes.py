"""What an event changed: each field before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from ...domain import FIELDS
from ...infrastructure.codec import decode_event
from ...infrastructure.entity import EXECUTIONS
from ..recorded_event import RecordedEvent, to_recorded_event
from ..states import states_at

_AT_ONCE = 100
"""States that are in memory at once."""


class FieldChange(msgspec.Struct, frozen=True):
    """A field, before and after an event; equal where the event set what was there."""

    before: Any
    after: Any


class AuditedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event and what it changed."""

    event: RecordedEvent
    changes: dict[str, FieldChange]
    """By field of the execution; of a step, as `steps.<step id>.outcome`. A deletion takes every field away. Empty
    where the payload was erased: `event.data` is None then."""


def audited(connection: Connection, rows: Sequence[Any]) -> list[AuditedEvent]:
    """Rows of `select_events`, each with its changes: three statements for every hundred of them."""
    told: list[AuditedEvent] = []
    for start in range(0, len(rows), _AT_ONCE):
        told += _audited(connection, rows[start : start + _AT_ONCE])
    return told


def _audited(connection: Connection, rows: Sequence[Any]) -> Iterator[AuditedEvent]:
    events = [decode_event(row, EXECUTIONS.catalog) for row in rows]
    points: dict[str, list[tuple[UUID, int]]] = {}
    for row, event in zip(rows, events, strict=True):
        if row.version > 1 and (event.removes or event.data.changes()):
            points.setdefault(row.ledger_id, []).append((row.execution_id, row.version - 1))
    before = {ledger: states_at(connection, ledger, each) for ledger, each in points.items()}
    for row, event in zip(rows, events, strict=True):
        state = before.get(row.ledger_id, {}).get((row.execution_id, row.version - 1)) or {}
        yield AuditedEvent(event=to_recorded_event(row), changes=dict(_changes(event, state)))


def _changes(event: Any, before: Mapping[str, Any]) -> Iterator[tuple[str, FieldChange]]:
    if event.removes:
        gone = {name: before[name] for name in FIELDS if before.get(name) is not None}
        yield from ((name, FieldChange(value, None)) for name, value in gone.items())
    for name, after in event.data.changes().items():
        yield name, FieldChange(before.get(name), after)
    if step := event.data.step():
        # A step starts once and ends once, so there was nothing before.
        prefix = f"steps.{step.pop('step_id')}"
        yield from ((f"{prefix}.{name}", FieldChange(None, value)) for name, value in step.items() if value is not None)
