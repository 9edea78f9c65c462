"""The append on SQLite: separate statements inside `BEGIN IMMEDIATE`, so that nothing was stale when it was decided."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ..domain import LedgerBusy
from .batch import Appended, Batch, Row
from .entity import Entity
from .tables import STATUSES, command_receipts, execution_events, execution_steps, execution_streams, ledgers


def append(connection: Connection, entity: Entity, batch: Batch, *, returning: bool) -> Appended | None:
    """Write a batch that has events. None where the ledger is missing. The caller holds the write lock."""
    head = ledgers.c
    found = connection.execute(select(head.size, head.last_id).where(head.ledger_id == batch.ledger_id)).one_or_none()
    if found is None:
        return None
    position, last_id = found.size, found.last_id
    _streams(connection, batch, last_id)
    counters: dict[Any, Any] = {name: head[name] + batch.counters[name] for name in ("executions", *STATUSES)}
    connection.execute(
        update(ledgers)
        .where(head.ledger_id == batch.ledger_id)
        .values({"size": position + len(batch.events), "last_id": last_id + len(batch.born)} | counters)
    )
    connection.execute(
        insert(execution_events),
        [
            {"ledger_id": batch.ledger_id, "position": position + at} | row._asdict()
            for at, row in enumerate(batch.events, 1)
        ],
    )
    _projected(connection, entity, batch, last_id)
    _steps(connection, batch)
    if batch.receipts:
        connection.execute(insert(command_receipts), _receipts(batch, position))
    rows = _returned(connection, entity, batch, last_id) if returning else {}
    return Appended(position, last_id, rows)


def _streams(connection: Connection, batch: Batch, last_id: int) -> None:
    stream = execution_streams.c
    for state, expected in batch.moved:
        moved = connection.execute(
            update(execution_streams)
            .where(
                stream.ledger_id == batch.ledger_id,
                stream.execution_id == state.execution_id,
                stream.version == expected.version,
                stream.lease_token == expected.lease_token,
            )
            .values(
                version=state.version,
                status=state.status,
                started_at=state.started_at,
                last_recorded_at=state.last_recorded_at,
                deleted=state.deleted,
                lease_token=state.lease_token,
            )
        )
        if moved.rowcount != 1:
            raise LedgerBusy(
                problem="another writer changed the execution inside this transaction",
                remedy="Roll back and try again.",
            )
    if batch.born:
        connection.execute(
            insert(execution_streams),
            [
                {
                    "ledger_id": batch.ledger_id,
                    "execution_id": state.execution_id,
                    "id": last_id + ordinal,
                    "job_id": state.key,
                    "version": state.version,
                    "status": state.status,
                    "started_at": state.started_at,
                    "last_recorded_at": state.last_recorded_at,
                    "deleted": state.deleted,
                }
                for ordinal, state in enumerate(batch.born, 1)
            ],
        )


def _projected(connection: Connection, entity: Entity, batch: Batch, last_id: int) -> None:
    table = entity.table
    for new in batch.inserts:
        values = {"ledger_id": batch.ledger_id, "id": last_id + new.ordinal} | new.values
        connection.execute(insert(table), values)
    for id, changes in batch.updates:
        connection.execute(update(table).where(table.c.ledger_id == batch.ledger_id, table.c.id == id).values(changes))
    if batch.deletes:
        connection.execute(delete(table).where(table.c.ledger_id == batch.ledger_id, table.c.id.in_(batch.deletes)))


def _steps(connection: Connection, batch: Batch) -> None:
    step = execution_steps.c
    if batch.new_steps:
        connection.execute(insert(execution_steps), [{"ledger_id": batch.ledger_id} | row for row in batch.new_steps])
    for ended in batch.ended_steps:
        connection.execute(
            update(execution_steps)
            .where(
                step.ledger_id == batch.ledger_id,
                step.execution_id == ended["execution_id"],
                step.step_id == ended["step_id"],
            )
            .values(outcome=ended["outcome"], finished_at=ended["finished_at"])
        )


def _receipts(batch: Batch, position: int) -> list[dict[str, Any]]:
    rows = []
    for receipt in batch.receipts:
        row = receipt._asdict() | {"ledger_id": batch.ledger_id}
        first: Any = row.pop("first_event")
        rows.append(row | {"first_position": None if first is None else position + 1 + first})
    return rows


def _returned(connection: Connection, entity: Entity, batch: Batch, last_id: int) -> dict[int, Row]:
    ids = [last_id + new.ordinal for new in batch.inserts] + [id for id, _ in batch.updates]
    table = entity.table
    statement = select(table).where(table.c.ledger_id == batch.ledger_id, table.c.id.in_(ids))
    return {row["id"]: row for row in connection.execute(statement).mappings()}
