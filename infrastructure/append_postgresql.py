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

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, TextualSelect, column, text

from ..domain import EventRow, StreamState
from .batch import Appended, Batch
from .connections import send
from .entity import Entity
from .json_rows import dump_rows, rows_of, type_name
from .tables import STATUSES, command_receipts, execution_events, execution_steps, execution_streams
from .types import to_json

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
    "inserts": {"_ordinal": "bigint"},
    "updates": {"id": "bigint", "_given": "bigint"},
    "receipts": {"first_event": "bigint"},
}
"""Fields of the rows beside columns of their table, which are only computed with."""

_HEAD = (column("head_ledger", Text()), column("base_position", BigInteger()), column("base_id", BigInteger()))
_PLANNED = "execution_ledger.planned"
_OUTGROWN = "execution_ledger.outgrown"
_SMALL = 100
_LARGE = 100_000
_IS_ANALYZED = "SELECT reltuples * 2 >= %(size)s FROM pg_class WHERE oid = to_regclass('execution_events')"
"""Events that any plan copes with."""

Rows = list[dict[str, Any]]


class Shape(NamedTuple):
    """What decides the text of the statement."""

    entity: Entity
    single: bool
    """Whether each table gets one row at most, in plain parameters."""
    many: bool
    """Whether it writes to several ledgers."""
    alone: bool
    """Whether it stands in no transaction, so that it has to take all locks in order, and write all or nothing."""
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    """What is written: the name of each set of rows, and the columns that these set."""
    counters: tuple[str, ...]
    returning: bool


def append(
    connection: Connection, entity: Entity, batches: Sequence[Batch], *, returning: bool, alone: bool = False
) -> dict[str, Appended] | None:
    """Write batches that have events, each to a ledger of its own, in the order of their names.

    None where a stream was not at the version read, or a ledger is missing. Nothing is written then by one command, or
    with `alone`, which locks before it writes; else the transaction, which has the locks already, must be rolled back.
    With `returning` the projected rows come back with the same statement.
    """
    rows: dict[str, Rows] = {}
    for batch in batches:
        for name, each in _rows(entity, batch).items():
            rows.setdefault(name, []).extend(each)
    single = all(len(each) == 1 for each in rows.values())
    changed = {name for batch in batches for name in _COUNTERS if batch.counters[name]}
    shape = Shape(
        entity=entity,
        single=single,
        many=len(batches) > 1,
        alone=alone and not single,
        columns=tuple((name, _columns(entity, name, each[0] if single else None)) for name, each in rows.items()),
        counters=tuple(name for name in _COUNTERS if name in changed) if single else _COUNTERS,
        returning=returning and ("inserts" in rows or "updates" in rows),
    )
    if connection.info.pop(_OUTGROWN, False):
        _plan_anew(connection, entity)
    statement, parameters = _statement(shape), _parameters(shape, batches, rows)
    if shape.returning:
        found: Sequence[Sequence[Any]] = connection.execute(_typed(statement, entity), parameters).all()
    else:
        found = send(connection, statement, parameters)
    if not found:
        return None
    _note_growth(connection, max(position for _, position, *_ in found))
    appended = {ledger: Appended(position, id, {}) for ledger, position, id, *_ in found}
    if shape.returning:
        for ledger, _, _, *values in found:
            row = dict(zip(entity.table.columns.keys(), values, strict=True))
            appended[ledger].rows[row["id"]] = row
    return appended


@lru_cache(maxsize=1024)
def _typed(statement: str, entity: Entity) -> TextualSelect:
    return text(statement).columns(*_HEAD, *entity.table.columns)


def _note_growth(connection: Connection, size: int) -> None:
    """Have prepared statements planned anew, before the next append, each time the ledger has doubled since.

    (Not at once: this append may be committed, and nothing that fails now may be taken for its failure.)
    """
    planned = connection.info.setdefault(_PLANNED, 0)
    if size > 2 * planned + _SMALL:
        connection.info[_PLANNED], connection.info[_OUTGROWN] = size, True


def _plan_anew(connection: Connection, entity: Entity) -> None:
    """Make new plans, and tell the planner first how large a ledger is, as long as autovacuum may not have done so.

    A plan that was made while the tables were nearly empty, or before they were analyzed, takes a ledger for one row or
    two, and reads all of it to find the few of a group: that took two thirds of the rate in the first minute. Where
    this user may not analyze a table, or somebody else does at the moment, PostgreSQL leaves it.
    """
    size, driver = connection.info[_PLANNED], connection.connection.dbapi_connection
    small = size < _LARGE and driver is not None and driver.autocommit
    if small and connection.exec_driver_sql(_IS_ANALYZED, {"size": size}).scalar() is False:
        tables = (entity.table, execution_streams, execution_steps, execution_events, command_receipts)
        connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {', '.join(table.name for table in tables)}")
    connection.exec_driver_sql("DISCARD PLANS")


def _rows(entity: Entity, batch: Batch) -> dict[str, Rows]:
    """All rows of a batch, by the name of their set, with their ledger and numbered from 1."""
    bits = _bits(entity)
    rows: dict[str, Rows] = {
        "moved": [_moved(new, old) for new, old in batch.moved],
        "events": [row._asdict() for row in batch.events],
        "born": [state._asdict() | {"job_id": state.key} for state in batch.born],
        "inserts": [entity.to_database(new.values) | {"_ordinal": new.ordinal} for new in batch.inserts],
        "updates": [
            entity.to_database(changes) | {"id": id, "_given": sum(bits[name] for name in changes)}
            for id, changes in batch.updates
        ],
        "deletes": [{"id": id} for id in batch.deletes],
        "new_steps": [dict(step) for step in batch.new_steps],
        "ended_steps": [dict(step) for step in batch.ended_steps],
        "receipts": [receipt._asdict() | {"outcome": to_json(receipt.outcome)} for receipt in batch.receipts],
    }
    for each in rows.values():
        for n, row in enumerate(each, 1):
            row["ledger_id"], row["_n"] = batch.ledger_id, n
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


def _parameters(shape: Shape, batches: Sequence[Batch], rows: dict[str, Rows]) -> dict[str, Any]:
    heads = [
        {"ledger_id": batch.ledger_id, "size": len(batch.events), "last_id": len(batch.born)}
        | {name: batch.counters[name] for name in shape.counters}
        for batch in batches
    ]
    parameters: dict[str, Any] = {} if shape.many else {"ledger_id": batches[0].ledger_id}
    if not shape.single:
        return parameters | {name: dump_rows(each) for name, each in rows.items()} | {"heads": dump_rows(heads)}
    parameters |= {f"heads_{name}": value for name, value in heads[0].items() if name != "ledger_id"}
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
def _statement(shape: Shape) -> str:
    table = shape.entity.table
    columns = dict(shape.columns)
    # One ledger is named by a constant, which a cluster needs to find its node.
    ledger = "u.ledger_id" if shape.many else ":ledger_id"
    of_head = f"head.head_ledger = {ledger}"
    ctes: dict[str, str] = {}
    returned: list[str] = []
    counters = ("size", "last_id", *shape.counters)
    heads = _fields(shape, "heads", dict.fromkeys(counters, "bigint"))
    guard = ""
    if "moved" in columns:
        found = (
            f"s.ledger_id = {ledger} AND s.execution_id = u.execution_id AND s.version = u.old_version "
            "AND s.lease_token = u.old_lease_token AND s.last_recorded_at = u.old_recorded_at"
        )
        source = _source(shape, "moved", execution_streams)
        if shape.alone:
            ctes["held"] = (
                f"SELECT 1 FROM {source} JOIN execution_streams s ON {found} ORDER BY s.ledger_id, s.id FOR UPDATE OF s"
            )
            guard = f" AND {_all_of('held', 'moved')}"
        count = "(SELECT count(*) FROM moved) = 1" if shape.single else _all_of("moved", "moved")
        move = f"UPDATE execution_streams s SET {_sets(_STATE)} FROM {source} WHERE {found}"
    else:
        count = move = ""
    if shape.many:
        # In the order of their names, as everybody locks them; and all of them, or none.
        ctes["locked"] = (
            f"SELECT l.ledger_id FROM {heads} JOIN ledgers l ON l.ledger_id = u.ledger_id{guard} "
            "ORDER BY l.ledger_id FOR UPDATE OF l"
        )
        guard = f" AND {_all_of('locked', 'heads')}"
    if move:
        ctes["moved"] = f"{move}{guard if shape.alone else ''} RETURNING 1"
    guard = "".join(f" AND {each}" for each in (count, _all_of("locked", "heads") if shape.many else "") if each)
    if shape.many:
        heads = f"locked, {heads}"
        guard += " AND l.ledger_id = locked.ledger_id"
    ctes["head"] = (
        f"UPDATE ledgers l SET {', '.join(f'{name} = l.{name} + u.{name}' for name in counters)} "
        f"FROM {heads} WHERE l.ledger_id = {ledger}{guard} "
        f"RETURNING l.ledger_id AS head_ledger, l.size - u.size AS base_position, l.last_id - u.last_id AS base_id"
    )

    def insert(rows: str, into: Table, given: Mapping[str, str]) -> str:
        """Insert rows, with the `given` columns computed from the head."""
        target = ", ".join(("ledger_id", *given, *columns[rows]))
        values = ", ".join((ledger, *given.values(), *(_value(shape, into.c[name]) for name in columns[rows])))
        source = f"head, {_source(shape, rows, into)} WHERE {of_head}"
        return f"INSERT INTO {into.name} ({target}) SELECT {values} FROM {source}"

    ctes["added"] = insert("events", execution_events, {"position": "head.base_position + u._n"})
    if "born" in columns:
        ctes["born"] = insert("born", execution_streams, {"id": "head.base_id + u._n"})
    if "inserts" in columns:
        ctes["inserted"] = insert("inserts", table, {"id": "head.base_id + u._ordinal"}) + f" RETURNING {_names(table)}"
        returned.append("inserted")
    if "updates" in columns:
        bits = _bits(shape.entity)
        sets = (
            f"{name} = u.{name}"
            if shape.single
            else f"{name} = CASE WHEN u._given & {bits[name]} = 0 THEN h.{name} ELSE u.{name} END"
            for name in columns["updates"]
        )
        ctes["updated"] = (
            f"UPDATE {table.name} h SET {', '.join(sets)} FROM head, {_source(shape, 'updates', table)} "
            f"WHERE {of_head} AND h.ledger_id = {ledger} AND h.id = u.id RETURNING {_names(table, 'h.')}"
        )
        returned.append("updated")
    if "deletes" in columns:
        ctes["removed"] = (
            f"DELETE FROM {table.name} h USING head, {_source(shape, 'deletes', table)} "
            f"WHERE {of_head} AND h.ledger_id = {ledger} AND h.id = u.id"
        )
    if "new_steps" in columns:
        ctes["steps"] = insert("new_steps", execution_steps, {})
    if "ended_steps" in columns:
        ctes["ended"] = (
            f"UPDATE execution_steps s SET {_sets(_ENDED_STEP[2:])} "
            f"FROM head, {_source(shape, 'ended_steps', execution_steps)} WHERE {of_head} AND s.ledger_id = {ledger} "
            "AND s.execution_id = u.execution_id AND s.step_id = u.step_id"
        )
    if "receipts" in columns:
        first = {"first_position": "head.base_position + 1 + u.first_event"}
        ctes["receipts"] = insert("receipts", command_receipts, first)
    join = ""
    if shape.returning:
        union = " UNION ALL ".join(f"SELECT * FROM {name}" for name in returned)
        join = f" LEFT JOIN ({union}) r ON r.ledger_id = head.head_ledger"
    body = ",\n".join(f"{name} AS ({cte})" for name, cte in ctes.items())
    return f"WITH {body}\nSELECT * FROM head{join}"


def _names(table: Table, prefix: str = "") -> str:
    # Never `*` of a table: a column that a migration adds would invalidate statements that are prepared already.
    return ", ".join(f"{prefix}{column.name}" for column in table.columns)


def _sets(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = u.{name}" for name in names)


def _all_of(cte: str, rows: str) -> str:
    """That a CTE has as many rows as a parameter."""
    return f"(SELECT count(*) FROM {cte}) = json_array_length(CAST(:{rows} AS json))"


def _source(shape: Shape, rows: str, table: Table) -> str:
    """A set of rows as `u`, numbered from 1 in each ledger by `_n`."""
    types = {name: _type(shape, table.c[name]) for name in dict(shape.columns)[rows]} | _EXTRA.get(rows, {})
    return _fields(shape, rows, types)


def _fields(shape: Shape, rows: str, types: Mapping[str, str]) -> str:
    if shape.single:
        fields = ", ".join(f"CAST(:{rows}_{name} AS {kind}) {name}" for name, kind in types.items())
        return f"(SELECT {fields}, 1 _n) u"
    return f"(SELECT * FROM {rows_of(rows, {**types, 'ledger_id': 'text', '_n': 'bigint'})}) u"


def _value(shape: Shape, target: Column[Any]) -> str:
    # In JSON, msgspec writes bytes as base64.
    is_base64 = isinstance(target.type, LargeBinary) and not shape.single
    return f"decode(u.{target.name}, 'base64')" if is_base64 else f"u.{target.name}"


def _type(shape: Shape, target: Column[Any]) -> str:
    if isinstance(target.type, LargeBinary):
        return "bytea" if shape.single else "text"
    return type_name(target)
