"""The append on PostgreSQL: one statement of data-modifying CTEs, streams first, head last.

The rows of a batch go in as JSON, one parameter for each table: a driver dumps one text far faster than forty arrays.
A single command goes in as plain parameters, which the planner looks up by key however small the tables were when it
planned. The text depends on nothing but the tables that a batch touches, so that prepared statements serve it again.
Citus takes `INSERT … SELECT` in a CTE, not `VALUES ((select …))`; nothing here depends on the order of RETURNING.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, TextualSelect, column, text
from sqlalchemy.dialects import postgresql

from ..domain import EventRow, StreamState
from .batch import Appended, Batch
from .entity import Entity
from .tables import STATUSES, command_receipts, execution_events, execution_steps, execution_streams
from .types import to_json

_DIALECT = postgresql.dialect()

_STATE = ("version", "status", "started_at", "last_recorded_at", "deleted", "lease_token")
_STREAM = ("execution_id", "job_id", *_STATE)
_NEW_STEP = tuple(column.name for column in execution_steps.columns if column.name != "ledger_id")
_ENDED_STEP = ("execution_id", "step_id", "outcome", "finished_at")
_RECEIPT = ("command_id", "fingerprint", "event_count", "outcome", "recorded_at")
_COUNTERS = ("executions", *STATUSES)
_EXTRA = {
    "moved": {
        "execution_id": "uuid",
        "old_version": "bigint",
        "old_lease_token": "bigint",
        "old_recorded_at": "timestamptz",
    },
    "inserts": {"ordinal": "bigint"},
    "updates": {"id": "bigint", "given": "bigint"},
    "receipts": {"first_event": "bigint"},
}
"""Fields of the rows beside columns of their table, which are only computed with."""

_PLANNED = "execution_ledger.planned"
_SMALL = 100
"""Events that any plan copes with."""

Rows = list[dict[str, Any]]


class Shape(NamedTuple):
    """What decides the text of the statement."""

    entity: Entity
    single: bool
    """Whether each table gets one row at most, in plain parameters."""
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    """What is written: the name of each set of rows, and the columns that these set."""
    counters: tuple[str, ...]
    returning: bool


def append(connection: Connection, entity: Entity, batch: Batch, *, returning: bool) -> Appended | None:
    """Write a batch that has events. None where a stream was not at the version read, or the ledger is missing.

    With `returning` the projected rows come back with the same statement.
    """
    rows = _rows(entity, batch)
    single = all(len(each) == 1 for each in rows.values())
    shape = Shape(
        entity=entity,
        single=single,
        columns=tuple((name, _columns(entity, name, each[0] if single else None)) for name, each in rows.items()),
        counters=tuple(name for name in _COUNTERS if batch.counters[name]) if single else _COUNTERS,
        returning=returning and bool(batch.inserts or batch.updates),
    )
    found = connection.execute(_statement(shape), _parameters(shape, batch, rows)).all()
    if not found:
        return None
    _plan_again_after_growth(connection, found[0][0])
    if not shape.returning:
        return Appended(found[0][0], found[0][1], {})
    names = entity.table.columns.keys()
    id = names.index("id") + 2
    return Appended(found[0][0], found[0][1], {row[id]: dict(zip(names, row[2:], strict=True)) for row in found})


def _plan_again_after_growth(connection: Connection, size: int) -> None:
    """Have prepared statements planned anew each time the ledger has doubled since.

    A plan that was made while the tables were nearly empty reads all of a ledger to find a few rows, and is kept until
    the next ANALYZE, which is a minute and perhaps 100,000 events away.
    """
    planned = connection.info.setdefault(_PLANNED, 0)
    if size > 2 * planned + _SMALL:
        connection.info[_PLANNED] = size
        connection.exec_driver_sql("DISCARD PLANS")


def _rows(entity: Entity, batch: Batch) -> dict[str, Rows]:
    """All rows of a batch, by the name of their set."""
    bits = _bits(entity)
    rows: dict[str, Rows] = {
        "moved": [_moved(new, old) for new, old in batch.moved],
        "events": [row._asdict() for row in batch.events],
        "born": [state._asdict() | {"job_id": state.key} for state in batch.born],
        "inserts": [entity.to_database(new.values) | {"ordinal": new.ordinal} for new in batch.inserts],
        "updates": [
            entity.to_database(changes) | {"id": id, "given": sum(bits[name] for name in changes)}
            for id, changes in batch.updates
        ],
        "deletes": [{"id": id} for id in batch.deletes],
        "new_steps": batch.new_steps,
        "ended_steps": batch.ended_steps,
        "receipts": [receipt._asdict() | {"outcome": to_json(receipt.outcome)} for receipt in batch.receipts],
    }
    return {name: each for name, each in rows.items() if each}


def _moved(new: StreamState, old: StreamState) -> dict[str, Any]:
    return new._asdict() | {
        "old_version": old.version,
        "old_lease_token": old.lease_token,
        "old_recorded_at": old.last_recorded_at,
    }


def _columns(entity: Entity, name: str, only: dict[str, Any] | None) -> tuple[str, ...]:
    """The columns that a set of rows may give values to; for an `only` row of the entity itself, those that it does."""
    match name:
        case "inserts" | "updates":
            return tuple(each for each in _bits(entity) if only is None or each in only)
        case "moved":
            return _STATE
        case "events":
            return EventRow._fields
        case "born":
            return _STREAM
        case "deletes":
            return ("id",)
        case "new_steps":
            return _NEW_STEP
        case "ended_steps":
            return _ENDED_STEP
        case _:
            return _RECEIPT


def _parameters(shape: Shape, batch: Batch, rows: dict[str, Rows]) -> dict[str, Any]:
    parameters: dict[str, Any] = {"ledger_id": batch.ledger_id, "size": len(batch.events), "last_id": len(batch.born)}
    if not shape.single:
        counters = {name: batch.counters[name] for name in shape.counters}
        for name, each in rows.items():
            parameters[name] = to_json([row | {"ledger_id": batch.ledger_id, "n": n} for n, row in enumerate(each, 1)])
        return parameters | {"counters": to_json(counters)}
    parameters |= {f"counters_{name}": batch.counters[name] for name in shape.counters}
    for name, columns in shape.columns:
        row = rows[name][0]
        for field in (*columns, *_EXTRA.get(name, ())):
            parameters[f"{name}_{field}"] = row[field]
    return parameters


@lru_cache
def _bits(entity: Entity) -> dict[str, int]:
    """A bit for each column that changes may set, so that one statement serves rows with different sets of them."""
    names = (each.name for each in entity.table.columns if each.name not in ("ledger_id", "id"))
    return {name: 1 << at for at, name in enumerate(names)}


@lru_cache(maxsize=1024)
def _statement(shape: Shape) -> TextualSelect:
    table = shape.entity.table
    columns = dict(shape.columns)
    ctes: dict[str, str] = {}
    returned: list[str] = []
    guard = ""
    if "moved" in columns:
        ctes["moved"] = (
            f"UPDATE execution_streams s SET {_sets(_STATE)} FROM {_source(shape, 'moved', execution_streams)} "
            "WHERE s.ledger_id = :ledger_id AND s.execution_id = u.execution_id "
            "AND s.version = u.old_version AND s.lease_token = u.old_lease_token "
            "AND s.last_recorded_at = u.old_recorded_at RETURNING 1"
        )
        count = "1" if shape.single else "json_array_length(CAST(:moved AS json))"
        guard = f" AND (SELECT count(*) FROM moved) = {count}"
    counters = "".join(f", {name} = {name} + {_counter(shape, name)}" for name in shape.counters)
    ctes["head"] = (
        "UPDATE ledgers SET size = size + CAST(:size AS bigint), last_id = last_id + CAST(:last_id AS bigint)"
        f"{counters} WHERE ledger_id = :ledger_id{guard} "
        "RETURNING size - CAST(:size AS bigint) AS base_position, last_id - CAST(:last_id AS bigint) AS base_id"
    )
    ctes["added"] = _insert(shape, "events", execution_events, {"position": "head.base_position + u.n"})
    if "born" in columns:
        ctes["born"] = _insert(shape, "born", execution_streams, {"id": "head.base_id + u.n"})
    if "inserts" in columns:
        insert = _insert(shape, "inserts", table, {"id": "head.base_id + u.ordinal"})
        ctes["inserted"] = f"{insert} RETURNING {_names(table)}"
        returned.append("inserted")
    if "updates" in columns:
        bits = _bits(shape.entity)
        sets = (
            f"{name} = u.{name}"
            if shape.single
            else f"{name} = CASE WHEN u.given & {bits[name]} = 0 THEN h.{name} ELSE u.{name} END"
            for name in columns["updates"]
        )
        ctes["updated"] = (
            f"UPDATE {table.name} h SET {', '.join(sets)} FROM head, {_source(shape, 'updates', table)} "
            f"WHERE h.ledger_id = :ledger_id AND h.id = u.id RETURNING {_names(table, 'h.')}"
        )
        returned.append("updated")
    if "deletes" in columns:
        ctes["removed"] = (
            f"DELETE FROM {table.name} h USING head, {_source(shape, 'deletes', table)} "
            "WHERE h.ledger_id = :ledger_id AND h.id = u.id"
        )
    if "new_steps" in columns:
        ctes["steps"] = _insert(shape, "new_steps", execution_steps, {})
    if "ended_steps" in columns:
        ctes["ended"] = (
            f"UPDATE execution_steps s SET {_sets(_ENDED_STEP[2:])} "
            f"FROM head, {_source(shape, 'ended_steps', execution_steps)} WHERE s.ledger_id = :ledger_id "
            "AND s.execution_id = u.execution_id AND s.step_id = u.step_id"
        )
    if "receipts" in columns:
        first = {"first_position": "head.base_position + 1 + u.first_event"}
        ctes["receipts"] = _insert(shape, "receipts", command_receipts, first)
    given: list[Any] = [column("base_position", BigInteger()), column("base_id", BigInteger())]
    join = ""
    if shape.returning:
        given += table.columns
        join = f" LEFT JOIN ({' UNION ALL '.join(f'SELECT * FROM {name}' for name in returned)}) r ON true"
    body = ",\n".join(f"{name} AS ({cte})" for name, cte in ctes.items())
    return text(f"WITH {body}\nSELECT * FROM head{join}").columns(*given)


def _names(table: Table, prefix: str = "") -> str:
    # Never `*` of a table: a column that a migration adds would invalidate statements that are prepared already.
    return ", ".join(f"{prefix}{column.name}" for column in table.columns)


def _sets(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = u.{name}" for name in names)


def _counter(shape: Shape, name: str) -> str:
    return f"CAST(:counters_{name} AS bigint)" if shape.single else f"(CAST(:counters AS json) ->> '{name}')::bigint"


def _insert(shape: Shape, rows: str, table: Table, given: Mapping[str, str]) -> str:
    """Insert rows, with the `given` columns computed from the head."""
    columns = dict(shape.columns)[rows]
    target = ", ".join(("ledger_id", *given, *columns))
    values = ", ".join((":ledger_id", *given.values(), *(_value(shape, table.c[name]) for name in columns)))
    return f"INSERT INTO {table.name} ({target}) SELECT {values} FROM head, {_source(shape, rows, table)}"


def _source(shape: Shape, rows: str, table: Table) -> str:
    """A set of rows as `u`, numbered from 1 by `n`."""
    types = {name: _type(shape, table.c[name]) for name in dict(shape.columns)[rows]} | _EXTRA.get(rows, {})
    if shape.single:
        fields = ", ".join(f"CAST(:{rows}_{name} AS {kind}) {name}" for name, kind in types.items())
        return f"(SELECT {fields}, 1 n) u"
    return f"(SELECT * FROM {rows_of_ledger(rows, types | {'n': 'bigint'})}) u"


def rows_of_ledger(parameter: str, fields: Mapping[str, str]) -> str:
    """The rows of a JSON array of objects, as a FROM item with its WHERE clause.

    Each names its ledger, which tells the planner more than it looks: an equality on what it knows nothing of it takes
    for very selective; it expects one row in place of a hundred, and looks up by key whatever is joined with it. Else,
    as long as nothing was analyzed, it reads all of a ledger, which it takes for a two-hundredth of the table.
    """
    typed = ", ".join(f"{name} {kind}" for name, kind in fields.items())
    return f"json_to_recordset(CAST(:{parameter} AS json)) AS k(ledger_id text, {typed}) WHERE k.ledger_id = :ledger_id"


def _value(shape: Shape, target: Column[Any]) -> str:
    # In JSON, msgspec writes bytes as base64.
    is_base64 = isinstance(target.type, LargeBinary) and not shape.single
    return f"decode(u.{target.name}, 'base64')" if is_base64 else f"u.{target.name}"


def _type(shape: Shape, target: Column[Any]) -> str:
    if isinstance(target.type, LargeBinary):
        return "bytea" if shape.single else "text"
    # Without the collation: the target column has its own. The short name, since drivers cache no long statements.
    name = target.type.compile(_DIALECT).partition(" COLLATE ")[0]
    return "timestamptz" if name == "TIMESTAMP WITH TIME ZONE" else name.lower()
