"""The runs that a piece of work touched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, func, select, tuple_

from ...infrastructure.tables import execution_events, execution_streams


class TouchedRun(msgspec.Struct, frozen=True, kw_only=True):
    """An execution, and what one piece of work did to it."""

    ledger_id: str
    job_id: str
    execution_id: UUID
    status: str | None
    """Its status now."""
    deleted: bool
    events: int
    """How many of its events belong to the work."""
    first_position: int
    last_position: int
    first_recorded_at: datetime
    last_recorded_at: datetime


def read_touched_runs(
    connection: Connection, ledgers: Sequence[str], correlation_id: str, limit: int, after: tuple[str, int] | None
) -> list[TouchedRun]:
    """In the order of ledgers' names and of the first event; behind the run with that ledger and first position.

    Reads the events of the piece of work, by their index, and no others.
    """
    event, stream = execution_events.c, execution_streams.c
    each = (
        select(
            event.ledger_id,
            event.execution_id,
            func.count().label("events"),
            func.min(event.position).label("first_position"),
            func.max(event.position).label("last_position"),
            func.min(event.recorded_at).label("first_recorded_at"),
            func.max(event.recorded_at).label("last_recorded_at"),
        )
        .where(event.ledger_id.in_(ledgers), event.correlation_id == correlation_id)
        .group_by(event.ledger_id, event.execution_id)
        .subquery("touched")
    )
    joined = each.join(
        execution_streams, (stream.ledger_id == each.c.ledger_id) & (stream.execution_id == each.c.execution_id)
    )
    statement = (
        select(*each.c, stream.job_id, stream.status, stream.deleted)
        .select_from(joined)
        .order_by(each.c.ledger_id, each.c.first_position)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(each.c.ledger_id, each.c.first_position) > tuple_(*after))
    rows: Sequence[Any] = connection.execute(statement).all()
    return [TouchedRun(**row._mapping) for row in rows]
