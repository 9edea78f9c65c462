"""An execution as it was at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Connection, select

from ...domain import InvalidInput, stream_id
from ...infrastructure.tables import execution_streams
from ..sources import ERASED, REMOVED, Found, Point, find_sources
from ..states import StoredEvents, decode_changes, is_stale, make_row, needed, read_events
from .moments import Moment, occurred_by, recorded_by


class State(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as it was at a moment."""

    job_id: str
    execution_id: UUID
    version: int
    """The last event that counts; 0 before the first one."""
    row: Mapping[str, Any] | None
    """Its row in the history, by column; None before its creation and after its deletion."""
    deleted: bool
    erased: int | None
    """The last event whose payload was erased: what it set is not known, and older values may be out of date."""


class Resolved(NamedTuple):
    """A moment with the events that the values come from."""

    point: Point
    """The execution and the version asked for, or the last one that counts."""
    found: Found | None
    """None before the first event."""
    stored: StoredEvents
    changes: Mapping[Point, Mapping[str, Any]]


def resolve(connection: Connection, ledger: str, job_id: str, moment: Moment) -> Resolved | None:
    """What an execution was made of at a moment; None where there never was such an execution."""
    execution_id = stream_id(ledger, job_id)
    stream = execution_streams.c
    statement = select(stream.id, stream.version).where(stream.ledger_id == ledger, stream.execution_id == execution_id)
    known = connection.execute(statement).one_or_none()
    if known is None:
        return None
    id, last = known
    for snapshots in (True, False):
        found = _find(connection, ledger, execution_id, id, last, moment, snapshots=snapshots)
        if found is None:
            return Resolved((execution_id, 0), None, {}, {})
        point = (execution_id, found.version)
        stored = read_events(connection, ledger, needed({point: found}))
        if not is_stale(found.sources, point, stored):
            break
    return Resolved(point, found, stored, decode_changes(stored))


def make_state(ledger: str, job_id: str, resolved: Resolved) -> State:
    """The values."""
    point, found, stored, changes = resolved
    return State(
        job_id=job_id,
        execution_id=point[0],
        version=point[1],
        row=make_row(ledger, point, found, stored, changes) if found else None,
        deleted=found is not None and REMOVED in found.sources,
        erased=found.sources.get(ERASED) if found else None,
    )


def _find(
    connection: Connection, ledger: str, execution_id: UUID, id: int, last: int, moment: Moment, *, snapshots: bool
) -> Found | None:
    version = last if moment.version is None else moment.version
    if version > last:
        raise InvalidInput(
            field="version", problem=f"{version} is more than its {last} events", remedy="Ask for one it has had."
        )
    if moment.instant is not None:
        if moment.by == "occurred":
            return occurred_by(connection, ledger, execution_id, id, last, moment.instant, snapshots=snapshots)
        (version,) = recorded_by(connection, ledger, [(execution_id, last)], moment.instant)
    if version == 0:
        return None
    point = (execution_id, version)
    return find_sources(connection, ledger, [point], snapshots=snapshots)[point]
