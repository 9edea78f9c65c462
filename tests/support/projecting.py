"""A projection's statements applied by hand, and what they left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection, Engine, Executable, select

from execution_ledger.infrastructure.tables import execution_events
from execution_ledger.projections import RecordedEvent
from execution_ledger.projections.recorded_event import select_events, to_recorded_event

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_event(position: int, job: str, name: str, *, ledger: str = "default", **more: Any) -> RecordedEvent:
    """An event as it would be read; `data` and the times as given."""
    fields: dict[str, Any] = {
        "execution_id": uuid5(NAMESPACE_URL, job),
        "version": 1,
        "schema_version": 1,
        "data": {},
        "recorded_at": NOON,
        "occurred_at": None,
        "actor": None,
        "reason": None,
        "correlation_id": None,
        "causation_id": None,
        "trace_id": None,
        "command_id": None,
    } | more
    return RecordedEvent(
        ledger_id=ledger,
        position=position,
        job_id=job,
        type=f"execution.{name}",
        **fields,
    )


def stored_events(engine: Engine, ledger: str) -> list[RecordedEvent]:
    """All events of a ledger, in order."""
    with engine.connect() as connection:
        page = select_events(ledger).order_by(execution_events.c.position)
        return [to_recorded_event(row) for row in connection.execute(page)]


def execute_all(connection: Connection, statements: Iterable[Executable]) -> None:
    """Execute statements in their order."""
    for statement in statements:
        connection.execute(statement)


def apply_each(engine: Engine, projection: Any, events: Sequence[RecordedEvent]) -> None:
    """Apply the events that a projection handles, one after the other, in one transaction."""
    with engine.begin() as connection:
        for event in events:
            if projection.types is None or event.type in projection.types:
                execute_all(connection, projection.statements(event))


def projected(engine: Engine, projection: Any, ledger: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a ledger in the tables of a projection, by table, in the order of their keys; without the ledger."""
    found: dict[str, list[dict[str, Any]]] = {}
    with engine.connect() as connection:
        for table in projection.tables:
            rows = connection.execute(
                select(table).where(table.c.ledger_id == ledger).order_by(*table.primary_key.columns)
            )
            found[table.name] = [
                {name: value for name, value in row._mapping.items() if name != "ledger_id"} for row in rows
            ]
    return found
