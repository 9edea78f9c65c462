"""The append on PostgreSQL: one statement of data-modifying CTEs, streams first, head last.

Citus takes `INSERT … SELECT` in a CTE, not `VALUES ((select …))`; nothing here depends on the order of RETURNING.
Statement texts depend only on the shape of a batch, so that the driver's prepared statements serve them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Table, TextualSelect, column, text
from sqlalchemy.dialects import postgresql

from ..domain import EventRow
from .batch import Appended, Batch
from .entity import Entity
from .tables import STATUSES, command_receipts, execution_events, execution_steps, execution_streams
from .types import to_json

_DIALECT = postgresql.dialect()

_MOVED = ("execution_id", "version", "status", "started_at", "last_recorded_at", "deleted")
_BORN = ("execution_id", "job_id", "version", "status", "started_at", "last_recorded_at", "deleted")
_NEW_STEP = tuple(column.name for column in execution_steps.columns if column.name != "ledger_id")
_ENDED_STEP = ("execution_id", "step_id", "outcome", "finished_at")
_RECEIPT = ("command_id", "fingerprint", "event_count", "outcome", "recorded_at")


class Shape(NamedTuple):
    """What decides the text of the statement."""

    entity: Entity
    moved: bool
    born: bool
    inserts: tuple[str, ...] | None
    updates: tuple[tuple[str, ...], ...]
    deletes: bool
    new_steps: bool
    ended_steps: bool
    receipts: bool
    returning: bool


def append(connection: Connection, entity: Entity, batch: Batch, *, returning: bool) -> Appended | None:
    """Write a batch that has events. None where a stream was not at the version read, or the ledger is missing.

    With `returning` (a batch of one stream) the projected row comes back with the same statement.
    """
    insert_columns = tuple(sorted({name for insert in batch.inserts for name in insert.values})) or None
    shape = Shape(
        entity=entity,
        moved=bool(batch.moved),
        born=bool(batch.born),
        inserts=insert_columns,
        updates=tuple(sorted(batch.updates)),
        deletes=bool(batch.deletes),
        new_steps=bool(batch.new_steps),
        ended_steps=bool(batch.ended_steps),
        receipts=bool(batch.receipts),
        returning=returning and len(batch.inserts) + sum(map(len, batch.updates.values())) == 1,
    )
    row = connection.execute(_statement(shape), _parameters(shape, batch)).mappings().one_or_none()
    if row is None:
        return None
    projected = {name: row[name] for name in entity.table.columns.keys()} if shape.returning else None  # noqa: SIM118
    return Appended(row["base_position"], row["base_id"], projected)


def _parameters(shape: Shape, batch: Batch) -> dict[str, Any]:
    entity = shape.entity
    parameters: dict[str, Any] = {
        "ledger_id": batch.ledger_id,
        "events": len(batch.events),
        "born": len(batch.born),
        "moved": len(batch.moved),
        "c_executions": batch.counters["executions"],
        **{f"c_{status}": batch.counters[status] for status in STATUSES},
    }
    _columns(parameters, "e", EventRow._fields, batch.events)
    if batch.moved:
        _columns(parameters, "m", _MOVED, ([getattr(state, name) for name in _MOVED] for state, _ in batch.moved))
        parameters["m_expected"] = [expected for _, expected in batch.moved]
    if batch.born:
        rows = (
            (s.execution_id, s.key, s.version, s.status, s.started_at, s.last_recorded_at, s.deleted)
            for s in batch.born
        )
        _columns(parameters, "b", _BORN, rows)
    if shape.inserts:
        values = [entity.to_database(insert.values) for insert in batch.inserts]
        _columns(parameters, "h", shape.inserts, ([row.get(name) for name in shape.inserts] for row in values))
        parameters["h_ordinal"] = [insert.ordinal for insert in batch.inserts]
    for at, names in enumerate(shape.updates):
        group = [(id, entity.to_database(row)) for id, row in batch.updates[names]]
        _columns(parameters, f"u{at}", names, ([row[name] for name in names] for _, row in group))
        parameters[f"u{at}_id"] = [id for id, _ in group]
    if batch.deletes:
        parameters["d_id"] = batch.deletes
    if batch.new_steps:
        _columns(parameters, "s", _NEW_STEP, ([step[name] for name in _NEW_STEP] for step in batch.new_steps))
    if batch.ended_steps:
        _columns(parameters, "f", _ENDED_STEP, ([step[name] for name in _ENDED_STEP] for step in batch.ended_steps))
    if batch.receipts:
        values = [receipt._asdict() | {"outcome": to_json(receipt.outcome)} for receipt in batch.receipts]
        _columns(parameters, "r", _RECEIPT, ([row[name] for name in _RECEIPT] for row in values))
        parameters["r_first_event"] = [row["first_event"] for row in values]
    return parameters


def _columns(parameters: dict[str, Any], prefix: str, names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        parameters[f"{prefix}_{name}"] = list(values)


@lru_cache(maxsize=1024)
def _statement(shape: Shape) -> TextualSelect:
    table = shape.entity.table
    ctes: dict[str, str] = {}
    returned: list[str] = []
    guard = ""
    if shape.moved:
        ctes["moved"] = (
            f"UPDATE execution_streams s SET {_sets(_MOVED[1:])} "
            f"FROM {_unnest('m', execution_streams, _MOVED, expected='bigint')} "
            "WHERE s.ledger_id = :ledger_id AND s.execution_id = u.execution_id AND s.version = u.expected RETURNING 1"
        )
        guard = " AND (SELECT count(*) FROM moved) = CAST(:moved AS bigint)"
    counters = "".join(f", {name} = {name} + CAST(:c_{name} AS bigint)" for name in ("executions", *STATUSES))
    ctes["head"] = (
        "UPDATE ledgers SET size = size + CAST(:events AS bigint), last_id = last_id + CAST(:born AS bigint)"
        f"{counters} WHERE ledger_id = :ledger_id{guard} "
        "RETURNING size - CAST(:events AS bigint) AS base_position, last_id - CAST(:born AS bigint) AS base_id"
    )
    ctes["added"] = _insert(execution_events, "e", EventRow._fields, {"position": "head.base_position + u.n"})
    if shape.born:
        ctes["born"] = _insert(execution_streams, "b", _BORN, {"id": "head.base_id + u.n"})
    if shape.inserts:
        ids = {"id": "head.base_id + u.ordinal"}
        ctes["inserted"] = _insert(table, "h", shape.inserts, ids, ordinal="bigint") + f" RETURNING {_names(table)}"
        returned.append("inserted")
    for at, names in enumerate(shape.updates):
        ctes[f"updated{at}"] = (
            f"UPDATE {table.name} h SET {_sets(names)} FROM head, {_unnest(f'u{at}', table, names, id='bigint')} "
            f"WHERE h.ledger_id = :ledger_id AND h.id = u.id RETURNING {_names(table, 'h.')}"
        )
        returned.append(f"updated{at}")
    if shape.deletes:
        ctes["removed"] = (
            f"DELETE FROM {table.name} h USING head "
            "WHERE h.ledger_id = :ledger_id AND h.id = ANY(CAST(:d_id AS bigint[]))"
        )
    if shape.new_steps:
        ctes["steps"] = _insert(execution_steps, "s", _NEW_STEP, {})
    if shape.ended_steps:
        ctes["ended"] = (
            f"UPDATE execution_steps s SET {_sets(_ENDED_STEP[2:])} "
            f"FROM head, {_unnest('f', execution_steps, _ENDED_STEP)} WHERE s.ledger_id = :ledger_id "
            "AND s.execution_id = u.execution_id AND s.step_id = u.step_id"
        )
    if shape.receipts:
        first = {"first_position": "head.base_position + 1 + u.first_event"}
        ctes["receipts"] = _insert(command_receipts, "r", _RECEIPT, first, first_event="bigint")
    given: list[Any] = [column("base_position", BigInteger()), column("base_id", BigInteger())]
    names = ["head.base_position", "head.base_id"]
    join = ""
    if shape.returning:
        given += table.columns
        names += [f"r.{each.name}" for each in table.columns]
        join = f" LEFT JOIN {returned[0]} r ON true"
    body = ",\n".join(f"{name} AS ({cte})" for name, cte in ctes.items())
    return text(f"WITH {body}\nSELECT {', '.join(names)} FROM head{join}").columns(*given)


def _names(table: Table, prefix: str = "") -> str:
    # Never `*`: a column that a migration adds would invalidate statements that are prepared already.
    return ", ".join(f"{prefix}{column.name}" for column in table.columns)


def _sets(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = u.{name}" for name in names)


def _insert(table: Table, prefix: str, columns: Sequence[str], given: Mapping[str, str], **extra: str) -> str:
    """Insert arrays as rows, with the `given` columns computed from the head; `extra` arrays are only computed with."""
    target = ", ".join(("ledger_id", *given, *columns))
    values = ", ".join((":ledger_id", *given.values(), *(f"u.{name}" for name in columns)))
    return f"INSERT INTO {table.name} ({target}) SELECT {values} FROM head, {_unnest(prefix, table, columns, **extra)}"


def _unnest(prefix: str, table: Table, columns: Sequence[str], **extra: str) -> str:
    types = {name: _type(table, name) for name in columns} | extra
    arrays = ", ".join(f"CAST(:{prefix}_{name} AS {kind}[])" for name, kind in types.items())
    return f"unnest({arrays}) WITH ORDINALITY AS u({', '.join(types)}, n)"


def _type(table: Table, name: str) -> str:
    # Without the collation: an array type takes none, and the target column has its own.
    return table.c[name].type.compile(_DIALECT).partition(" COLLATE ")[0]
