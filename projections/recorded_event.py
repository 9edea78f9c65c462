"""An event as readers see it: who, when, why and what it changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, select

from ..infrastructure.tables import execution_events, execution_streams


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a ledger."""

    ledger_id: str
    position: int
    job_id: str
    execution_id: UUID
    version: int
    type: str
    """The stored name, as `execution.completed`."""
    schema_version: int
    data: dict[str, Any] | None
    """The payload; None once it was erased."""
    recorded_at: datetime
    occurred_at: datetime | None
    actor: str | None
    reason: str | None
    correlation_id: str | None
    causation_id: str | None
    trace_id: str | None
    command_id: str | None

    @property
    def at(self) -> datetime:
        """When it happened, by the reporter if that is known, else by the ledger."""
        return self.occurred_at or self.recorded_at

    @property
    def name(self) -> str:
        """The stored name without its prefix."""
        return self.type.partition(".")[2]


_COLUMNS = tuple(name for name in RecordedEvent.__struct_fields__ if name != "job_id")


def select_events(ledger: str) -> Select[Any]:
    """All events of a ledger with the job ids of their executions."""
    event, stream = execution_events, execution_streams
    joined = event.join(
        stream, (stream.c.ledger_id == event.c.ledger_id) & (stream.c.execution_id == event.c.execution_id)
    )
    columns = (event.c[name] for name in _COLUMNS)
    return select(stream.c.job_id, *columns).select_from(joined).where(event.c.ledger_id == ledger)


def to_recorded_event(row: Any) -> RecordedEvent:
    """The event of a row of `select_events`."""
    fields = dict(row._mapping)
    if fields["data"] is not None:
        fields["data"] = msgspec.json.decode(fields["data"])
    return RecordedEvent(**fields)
