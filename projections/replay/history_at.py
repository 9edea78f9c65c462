"""The list of executions as it was at an instant, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, select, tuple_

from ...infrastructure.entity import EXECUTIONS
from ...infrastructure.execution_repository import HistoryPage
from ...infrastructure.history_query import Cursor, HistoryQuery
from ...infrastructure.tables import execution_events, execution_streams, ledgers
from ..sources import Point
from ..states import states_at
from .moments import recorded_by

_BATCH = 100
"""Executions whose rows are made at once."""

Row = dict[Any, Any]


def history_at(
    connection: Connection, ledger: str, instant: datetime, limit: int, after: Cursor | None, status: Any
) -> HistoryPage:
    """A page of the rows that the history had at an instant, by the ledger's clock, in its order.

    A row that has not changed since is as it was. The others, those deleted since among them, are found from what was
    recorded since, or, where that is more, from all executions; of them a page is kept in memory, not more.
    """
    query = HistoryQuery.of(ledger, {"status": status})
    page = query.page(connection.dialect.name, limit + 1, after=after)
    page = page.where(EXECUTIONS.table.c.updated_at <= instant)
    # In this order: what changes in between is found twice, not missed.
    found = {row["id"]: dict(row) for row in connection.execute(page).mappings()}
    for points in _changed_since(connection, ledger, instant):
        for row in states_at(connection, ledger, points).values():
            if row is not None and _belongs(row, query.statuses, after):
                found[row["id"]] = dict(row)
        found = {row["id"]: row for row in sorted(found.values(), key=_order, reverse=True)[: limit + 1]}
    rows = sorted(found.values(), key=_order, reverse=True)
    kept = [EXECUTIONS.load(EXECUTIONS.copy(row) or {}) for row in rows[:limit]]
    more = len(rows) > limit
    return HistoryPage(kept, Cursor(*_order(rows[limit - 1])).encode() if more else None)


def _order(row: Row) -> tuple[datetime, int]:
    return row["created_at"], row["id"]


def _belongs(row: Any, statuses: Sequence[str] | None, after: Cursor | None) -> bool:
    if statuses is not None and row["status"] not in statuses:
        return False
    return after is None or _order(row) < tuple(after)


def _changed_since(connection: Connection, ledger: str, instant: datetime) -> Iterator[list[Point]]:
    """Executions that existed at an instant and have changed since, each right before that, in batches."""
    event = execution_events.c
    first = (
        select(event.position)
        .where(event.ledger_id == ledger, event.recorded_at > instant)
        .order_by(event.recorded_at, event.position)
        .limit(1)
    )
    position = connection.execute(first).scalar()
    if position is None:
        return
    size, executions = connection.execute(
        select(ledgers.c.size, ledgers.c.last_id).where(ledgers.c.ledger_id == ledger)
    ).one()
    by_events = size - position < executions
    yield from (_by_events if by_events else _by_executions)(connection, ledger, instant)


def _by_events(connection: Connection, ledger: str, instant: datetime) -> Iterator[list[Point]]:
    """The first event of each since then: the one before it was recorded by then."""
    event, earlier = execution_events.c, execution_events.alias("b")
    before = and_(
        earlier.c.ledger_id == ledger,
        earlier.c.execution_id == event.execution_id,
        earlier.c.version == event.version - 1,
    )
    order = (event.recorded_at, event.position)
    statement = (
        select(event.execution_id, earlier.c.version, *order)
        .select_from(execution_events.join(earlier, before))
        .where(event.ledger_id == ledger, event.recorded_at > instant, earlier.c.recorded_at <= instant)
        .order_by(*order)
        .limit(_BATCH)
    )
    rows = connection.execute(statement).all()
    while rows:
        yield [(row.execution_id, row.version) for row in rows]
        last = tuple_(rows[-1].recorded_at, rows[-1].position, types=[column.type for column in order])
        rows = connection.execute(statement.where(tuple_(*order) > last)).all()


def _by_executions(connection: Connection, ledger: str, instant: datetime) -> Iterator[list[Point]]:
    """All that have an event since then and were created by then, in the order of their ids."""
    stream, event = execution_streams.c, execution_events.c
    created = and_(event.ledger_id == ledger, event.execution_id == stream.execution_id, event.version == 1)
    statement = (
        select(stream.id, stream.execution_id, stream.version)
        .select_from(execution_streams.join(execution_events, created))
        .where(stream.ledger_id == ledger, stream.last_recorded_at > instant, event.recorded_at <= instant)
        .order_by(stream.id)
        .limit(_BATCH)
    )
    rows = connection.execute(statement).all()
    while rows:
        ids: list[UUID] = [row.execution_id for row in rows]
        versions = recorded_by(connection, ledger, [(row.execution_id, row.version) for row in rows], instant)
        yield list(zip(ids, versions, strict=True))
        rows = connection.execute(statement.where(stream.id > rows[-1].id)).all()
