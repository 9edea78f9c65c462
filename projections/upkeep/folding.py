"""Events to rows once more: what the tables beside the ledger should hold of some executions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select

from ...domain import EventRow, leaf_hash, payload_digest
from ...infrastructure.codec import decode_payload
from ...infrastructure.entity import EXECUTIONS, Entity
from ...infrastructure.tables import execution_events, execution_streams

_FETCH = 2_000
"""Events that are in memory at once."""

_FOLDED = ("execution_id", "version", "type", "schema_version", "data", "recorded_at", "position")
_HASHED = (*_FOLDED, *(name for name in EventRow._fields if name not in _FOLDED))


@dataclass(slots=True)
class Folded:
    """An execution as its events say."""

    execution_id: UUID
    id: int
    ledger: str
    given_id: int | None = None
    """The number that its first event says it had before; None where the ledger gave it."""
    key: str | None = None
    version: int = 0
    first_position: int | None = None
    """Of its creation; None where that event is missing."""
    status: str | None = None
    started_at: datetime | None = None
    recorded_at: datetime | None = None
    row: dict[str, Any] | None = field(default_factory=dict)
    """What its events set in the projected row, in order; None once it is deleted."""
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: list[tuple[int, str, Any, Any]] = field(default_factory=list)
    """Events that are not what was appended: position, column, what it should be, what it is."""
    events: int = 0

    def history(self, entity: Entity = EXECUTIONS) -> dict[str, Any] | None:
        """The projected row; None where there should be none."""
        if self.row is None:
            return None
        blank = entity.blank(self.ledger)
        return blank | self.row | {
            "id": self.id, "execution_id": self.execution_id, "version": self.version, "updated_at": self.recorded_at,
        }  # fmt: skip

    def stream(self) -> dict[str, Any]:
        """The row of the command side. The lease's token is no event's, so it is not in it."""
        return {
            "id": self.id if self.given_id is None else self.given_id,
            "job_id": self.key,
            "version": self.version,
            "status": self.status,
            "started_at": self.started_at,
            "last_recorded_at": self.recorded_at,
            "deleted": self.row is None,
        }


def in_range(after: int, upto: int) -> ColumnElement[bool]:
    """Executions with ids above `after`, up to `upto`."""
    return (execution_streams.c.id > after) & (execution_streams.c.id <= upto)


def among(ids: Collection[int]) -> ColumnElement[bool]:
    """Executions with these ids."""
    return execution_streams.c.id.in_(ids)


def fold_executions(
    connection: Connection,
    ledger: str,
    which: ColumnElement[bool],
    *,
    hashes: bool = False,
    long: bool = True,
    entity: Entity = EXECUTIONS,
) -> Iterator[Folded]:
    """Fold some executions, in the order of their ids; those without events are left out.

    Events come a few at a time, so that memory does not grow with a run; all at once where they are known not to be
    `long`. With `hashes` each payload and leaf hash is computed once more.
    """
    event, stream = execution_events.c, execution_streams.c
    names = _HASHED if hashes else _FOLDED
    page = (
        select(stream.id, *(event[name] for name in names))
        .join_from(
            execution_streams,
            execution_events,
            (event.ledger_id == stream.ledger_id) & (event.execution_id == stream.execution_id),
        )
        .where(stream.ledger_id == ledger, which)
        .order_by(stream.id, event.version)
    )
    if long:
        page = page.execution_options(yield_per=_FETCH)
    folded: Folded | None = None
    result: Any = connection.execute(page)
    for row in chain.from_iterable(result.partitions()) if long else result.all():
        if folded is None or row[0] != folded.id:
            if folded is not None:
                yield folded
            folded = Folded(row[1], row[0], ledger)
        if hashes:
            _check(folded, row)
        _advance(folded, row, entity)
    if folded is not None:
        yield folded


def _advance(folded: Folded, row: Any, entity: Entity) -> None:
    _, _, version, topic, schema_version, data, recorded_at, position, *_ = row
    kind = entity.catalog.find(topic, schema_version)
    payload = decode_payload(kind, schema_version, data)
    changes = payload.changes()
    folded.events += 1
    folded.version, folded.recorded_at = version, recorded_at
    if version == 1:
        folded.first_position, folded.given_id = position, changes.get("id")
    if folded.key is None:
        folded.key = changes.get(entity.aggregate.key_field)
    folded.status = changes.get("status", folded.status)
    folded.started_at = changes.get("started_at", folded.started_at)
    if kind.removes:
        folded.row = None
    elif folded.row is not None:
        folded.row.update(changes)
    if step := payload.step():
        folded.steps[step["step_id"]] = folded.steps.get(step["step_id"], {}) | step


def _check(folded: Folded, row: Any) -> None:
    if row.version != folded.version + 1:
        folded.broken.append((row.position, "version", folded.version + 1, row.version))
    if row.data is not None:
        digest = payload_digest(row.salt, row.data.encode())
        if digest != row.payload_digest:
            folded.broken.append((row.position, "payload_digest", digest, row.payload_digest))
    leaf = leaf_hash(folded.ledger, row)
    if leaf != row.leaf_hash:
        folded.broken.append((row.position, "leaf_hash", leaf, row.leaf_hash))
