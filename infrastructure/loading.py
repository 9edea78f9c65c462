"""Events that were made elsewhere, loaded in bulk: of a backup, or of a table that was kept before.

No rule decides here: what comes in is what happened. But nothing is loaded that the ledger could not have written, and
what is derived of it is written with it, so that each chunk leaves a ledger that reads, verifies and goes on as any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Table, bindparam, delete, select, update

from ..domain import EventRow, InvalidInput, Payload
from .bulk_rows import find_rows, insert_rows, update_rows
from .codec import decode_payload
from .entity import EXECUTIONS, Entity
from .tables import execution_events, execution_steps, execution_streams, ledgers

_EVENT = ("ledger_id", "position", *EventRow._fields)


class Arrival(NamedTuple):
    """An event to load. The first of an entity names its number and its key, which an erased payload tells no more."""

    row: EventRow
    id: int | None = None
    key: str | None = None
    payload: Payload | None = None
    """Of `row`, where it need not be decoded."""


class Head(NamedTuple):
    """How far a ledger has come."""

    size: int
    last_id: int


def lock_head(connection: Connection, ledger: str) -> Head:
    """The head of a ledger that there is, locked to the end of the transaction: nobody else appends to it."""
    head = ledgers.c
    found = select(head.size, head.last_id).where(head.ledger_id == ledger).with_for_update()
    return Head(*connection.execute(found).one())


def load_events(
    connection: Connection, ledger: str, arrivals: Sequence[Arrival], head: Head, *, entity: Entity = EXECUTIONS
) -> None:
    """Append events behind the `head`, which the caller has locked in this transaction, and commits with it.

    Whoever made the events has computed their hashes, or checked them.
    """
    if arrivals:
        loading = _Loading(ledger, entity, _begun(connection, ledger, arrivals), head.last_id)
        for arrival in arrivals:
            loading.add(arrival)
        loading.write(connection, head.size, arrivals)
        if (head.size + len(arrivals)).bit_length() > head.size.bit_length():
            _analyze(connection, entity)


def _analyze(connection: Connection, entity: Entity) -> None:
    """Tell the planner how large the tables are, each time that a ledger has doubled.

    Of a table that is not analyzed yet it takes a ledger for a row or two, and reads all of it to find a few by key.
    """
    if connection.dialect.name == "postgresql":
        tables = (entity.table, execution_streams, execution_steps, execution_events)
        connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {', '.join(table.name for table in tables)}")


@dataclass(slots=True)
class _Loaded:
    """An entity, as far as its events have come."""

    execution_id: UUID
    id: int
    key: str
    version: int = 0
    status: str | None = None
    started_at: datetime | None = None
    recorded_at: datetime | None = None
    row: dict[str, Any] = field(default_factory=dict)
    """The projected row; of one that was there before, the columns that change."""
    deleted: bool = False
    counted: str | None = None
    """The status under which the head counts it; None where it does not."""
    is_new: bool = True
    new_steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended_steps: list[dict[str, Any]] = field(default_factory=list)
    """Of those that began in an earlier chunk."""


class _Loading:
    """One chunk."""

    def __init__(self, ledger: str, entity: Entity, begun: dict[UUID, _Loaded], last_id: int) -> None:
        self._ledger = ledger
        self._entity = entity
        self._all = begun
        self._last_id = last_id

    def add(self, arrival: Arrival) -> None:
        """Advance what the event is about."""
        row = arrival.row
        of = self._all.get(row.execution_id)
        if of is None:
            of = self._all[row.execution_id] = self._begin(arrival)
        if row.version != of.version + 1:
            raise _wrong("version", f"{row.version} follows on {of.version} of execution {of.id}")
        kind = self._entity.catalog.find(row.type, row.schema_version)
        payload = arrival.payload or decode_payload(kind, row.schema_version, row.data)
        changes = payload.changes()
        of.version, of.recorded_at = row.version, row.recorded_at
        of.status = changes.get("status", of.status)
        of.started_at = changes.get("started_at", of.started_at)
        if step := payload.step():
            if "outcome" not in step or step["step_id"] in of.new_steps:
                of.new_steps[step["step_id"]] = of.new_steps.get(step["step_id"], {}) | step
            else:
                of.ended_steps.append(step)
        of.row.update(changes)
        of.deleted = of.deleted or kind.removes

    def _begin(self, arrival: Arrival) -> _Loaded:
        row, id, key, _ = arrival
        if id is None or key is None:
            raise _wrong("version", f"execution {row.execution_id} begins with {row.version}")
        self._last_id = max(self._last_id, id)
        loaded = _Loaded(row.execution_id, id, key)
        loaded.row = self._entity.blank(self._ledger) | {"id": id, "execution_id": row.execution_id}
        return loaded

    def write(self, connection: Connection, position: int, arrivals: Sequence[Arrival]) -> None:
        """Write all of it: streams, history, steps, events, and the head."""
        history, ledger = self._entity.table, self._ledger
        new = [of for of in self._all.values() if of.is_new]
        moved = [of for of in self._all.values() if not of.is_new]
        insert_rows(connection, execution_streams, [self._new_stream(of) for of in new])
        update_rows(connection, execution_streams, ledger, [(of.id, self._stream(of)) for of in moved])
        insert_rows(connection, history, [of.row | self._version(of) for of in new if not of.deleted])
        still = [(of.id, of.row | self._version(of)) for of in moved if not of.deleted]
        update_rows(connection, history, ledger, still)
        _delete(connection, history, ledger, [of.id for of in moved if of.deleted])
        insert_rows(connection, execution_steps, [step for of in self._all.values() for step in self._steps(of)])
        self._end_steps(connection)
        insert_rows(
            connection,
            execution_events,
            [
                dict(zip(_EVENT, (ledger, at, *arrival.row), strict=True))
                for at, arrival in enumerate(arrivals, position + 1)
            ],
        )
        self._move_head(connection, len(arrivals))

    def _new_stream(self, of: _Loaded) -> dict[str, Any]:
        key = {"ledger_id": self._ledger, "execution_id": of.execution_id, "id": of.id, "job_id": of.key}
        return key | self._stream(of)

    def _stream(self, of: _Loaded) -> dict[str, Any]:
        return {
            "version": of.version,
            "status": of.status,
            "started_at": of.started_at,
            "last_recorded_at": of.recorded_at,
            "deleted": of.deleted,
        }

    def _version(self, of: _Loaded) -> dict[str, Any]:
        return {"version": of.version, "updated_at": of.recorded_at}

    def _steps(self, of: _Loaded) -> Iterable[dict[str, Any]]:
        if not of.new_steps:
            return ()
        blank = dict.fromkeys(column.name for column in execution_steps.columns)
        blank |= {"ledger_id": self._ledger, "execution_id": of.execution_id}
        return (blank | step for step in of.new_steps.values())

    def _end_steps(self, connection: Connection) -> None:
        ended = [
            {"of": of.execution_id, "step": step["step_id"], "how": step["outcome"], "at": step["finished_at"]}
            for of in self._all.values()
            for step in of.ended_steps
        ]
        if ended:
            step = execution_steps.c
            which = (step.ledger_id == self._ledger, step.execution_id == bindparam("of"))
            statement = update(execution_steps).where(*which, step.step_id == bindparam("step"))
            connection.execute(statement.values(outcome=bindparam("how"), finished_at=bindparam("at")), ended)

    def _move_head(self, connection: Connection, events: int) -> None:
        counts: Counter[str] = Counter()
        for of in self._all.values():
            now = None if of.deleted else of.status
            for status, step in ((of.counted, -1), (now, 1)):
                if status is not None:
                    counts["executions"] += step
                    counts[status] += step
        head = ledgers.c
        values: dict[Any, Any] = {head[name]: head[name] + step for name, step in counts.items() if step}
        values |= {head.size: head.size + events, head.last_id: self._last_id}
        connection.execute(update(ledgers).where(head.ledger_id == self._ledger).values(values))


def _begun(connection: Connection, ledger: str, arrivals: Sequence[Arrival]) -> dict[UUID, _Loaded]:
    """The entities that are there already, of those that the events are about."""
    wanted = {arrival.row.execution_id for arrival in arrivals if arrival.row.version > 1}
    return {
        row.execution_id: _Loaded(
            row.execution_id, row.id, row.job_id, row.version, row.status, row.started_at, row.last_recorded_at,
            deleted=row.deleted, counted=None if row.deleted else row.status, is_new=False,
        )
        for row in find_rows(connection, execution_streams, ledger, "execution_id", wanted)
    }  # fmt: skip


def _delete(connection: Connection, table: Table, ledger: str, ids: Sequence[int]) -> None:
    if ids:
        connection.execute(delete(table).where(table.c.ledger_id == ledger, table.c.id.in_(ids)))


def _wrong(field: str, problem: str) -> InvalidInput:
    return InvalidInput(field=field, problem=problem, remedy="Load the events of a ledger whole and in their order.")
