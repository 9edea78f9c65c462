"""The append on SQLite: separate statements inside `BEGIN IMMEDIATE`, so that nothing was stale when it was decided.

Plain texts with plain parameters: building and compiling an expression for each of eight statements costs several times
what SQLite needs to run them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Table, TextualSelect, text

from ..domain import EventRow, LedgerBusy, StreamState
from .batch import Appended, Batch, Row
from .entity import Entity
from .tables import STATUSES, command_receipts, execution_events, execution_steps, execution_streams
from .types import to_json, to_sqlite

_COUNTERS = ("size", "last_id", "executions", *STATUSES)
_STATE = ("version", "status", "started_at", "last_recorded_at", "deleted", "lease_token")
_STREAM = ("ledger_id", "execution_id", "id", "job_id", *_STATE)
_EVENT = ("ledger_id", "position", *EventRow._fields)
_STEP = tuple(column.name for column in execution_steps.columns)
_RECEIPT = tuple(column.name for column in command_receipts.columns)

_HEAD = (
    f"UPDATE ledgers SET {', '.join(f'{name} = {name} + ?' for name in _COUNTERS)} WHERE ledger_id = ? "
    "RETURNING size, last_id"
)
_MOVE = (
    f"UPDATE execution_streams SET {', '.join(f'{name} = ?' for name in _STATE)} "
    "WHERE ledger_id = ? AND execution_id = ? AND version = ? AND lease_token = ? AND last_recorded_at = ?"
)
_END_STEP = (
    "UPDATE execution_steps SET outcome = ?, finished_at = ? WHERE ledger_id = ? AND execution_id = ? AND step_id = ?"
)


def append(
    connection: Connection, entity: Entity, batches: Sequence[Batch], *, returning: bool
) -> dict[str, Appended] | None:
    """Write batches that have events. None where a ledger is missing. The caller holds the write lock."""
    appended: dict[str, Appended] = {}
    for batch in batches:
        landed = _append(connection, entity, batch, returning=returning)
        if landed is None:
            return None
        appended[batch.ledger_id] = landed
    return appended


def _append(connection: Connection, entity: Entity, batch: Batch, *, returning: bool) -> Appended | None:
    ledger = batch.ledger_id
    steps = {"size": len(batch.events), "last_id": len(batch.born)} | batch.counters
    head = connection.exec_driver_sql(_HEAD, (*(steps.get(name, 0) for name in _COUNTERS), ledger)).one_or_none()
    if head is None:
        return None
    position, last_id = head.size - len(batch.events), head.last_id - len(batch.born)
    _move(connection, batch)
    _insert(
        connection, execution_streams, _STREAM, (_stream(ledger, last_id, *new) for new in enumerate(batch.born, 1))
    )
    _insert(
        connection, execution_events, _EVENT, ((ledger, position + at, *row) for at, row in enumerate(batch.events, 1))
    )
    _project(connection, entity, batch, last_id)
    _insert(connection, execution_steps, _STEP, ([ledger, *map(row.get, _STEP[1:])] for row in batch.new_steps))
    for step in batch.ended_steps:
        values = (step["outcome"], step["finished_at"], ledger, step["execution_id"], step["step_id"])
        connection.exec_driver_sql(_END_STEP, to_sqlite(values))
    _insert(connection, command_receipts, _RECEIPT, _receipts(batch, position))
    return Appended(position, last_id, _read(connection, entity, batch, last_id) if returning else {})


def _insert(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    if values := [to_sqlite(row) for row in rows]:
        connection.exec_driver_sql(_insert_text(table, tuple(columns)), values)


@lru_cache
def _insert_text(table: Table, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _move(connection: Connection, batch: Batch) -> None:
    for new, old in batch.moved:
        guard = (old.version, old.lease_token, old.last_recorded_at)
        values = (*(getattr(new, name) for name in _STATE), batch.ledger_id, new.execution_id, *guard)
        if connection.exec_driver_sql(_MOVE, to_sqlite(values)).rowcount != 1:
            raise LedgerBusy(
                problem="another writer changed the execution inside this transaction",
                remedy="Roll back and try again.",
            )


def _stream(ledger: str, last_id: int, ordinal: int, state: StreamState) -> tuple[Any, ...]:
    values = (getattr(state, name) for name in _STATE)
    return (ledger, state.execution_id, last_id + ordinal, state.key, *values)


def _project(connection: Connection, entity: Entity, batch: Batch, last_id: int) -> None:
    table, ledger = entity.table, batch.ledger_id
    new = [(tuple(each.values), each) for each in batch.inserts]
    for columns, group in groupby(new, key=lambda pair: pair[0]):
        rows = ((ledger, last_id + each.ordinal, *entity.to_database(each.values).values()) for _, each in group)
        _insert(connection, table, ("ledger_id", "id", *columns), rows)
    changed = [(tuple(changes), id, changes) for id, changes in batch.updates]
    for columns, group in groupby(changed, key=lambda change: change[0]):
        rows = [to_sqlite((*entity.to_database(changes).values(), ledger, id)) for _, id, changes in group]
        connection.exec_driver_sql(_update_text(table, columns), rows)
    if batch.deletes:
        statement = f"DELETE FROM {table.name} WHERE ledger_id = ? AND id = ?"
        connection.exec_driver_sql(statement, [(ledger, id) for id in batch.deletes])


@lru_cache
def _update_text(table: Table, columns: tuple[str, ...]) -> str:
    sets = ", ".join(f"{name} = ?" for name in columns)
    return f"UPDATE {table.name} SET {sets} WHERE ledger_id = ? AND id = ?"


def _receipts(batch: Batch, position: int) -> Iterable[Sequence[Any]]:
    for receipt in batch.receipts:
        first = None if receipt.first_event is None else position + 1 + receipt.first_event
        row = receipt._asdict() | {"ledger_id": batch.ledger_id, "first_position": first}
        row["outcome"] = to_json(receipt.outcome)
        yield [row[name] for name in _RECEIPT]


def _read(connection: Connection, entity: Entity, batch: Batch, last_id: int) -> dict[int, Row]:
    ids = [last_id + new.ordinal for new in batch.inserts] + [id for id, _ in batch.updates]
    parameters = {"ledger_id": batch.ledger_id, "ids": to_json(ids)}
    names = entity.table.columns.keys()
    rows = (dict(zip(names, row, strict=True)) for row in connection.execute(_read_text(entity), parameters))
    return {row["id"]: row for row in rows}


@lru_cache
def _read_text(entity: Entity) -> TextualSelect:
    table = entity.table
    statement = (
        f"SELECT {', '.join(table.columns.keys())} FROM {table.name} "
        "WHERE ledger_id = :ledger_id AND id IN (SELECT value FROM json_each(:ids))"
    )
    return text(statement).columns(*table.columns)
