"""An execution as it was at a moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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


class Run(NamedTuple):
    """An execution, however it is now."""

    execution_id: UUID
    id: int
    last: int
    """The version of its last event."""


def find_run(connection: Connection, ledger: str, job_id: str) -> Run | None:
    """The execution with this job id, deleted ones included; None where there never was one."""
    execution_id, stream = stream_id(ledger, job_id), execution_streams.c
    statement = select(stream.id, stream.version).where(stream.ledger_id == ledger, stream.execution_id == execution_id)
    found = connection.execute(statement).one_or_none()
    return None if found is None else Run(execution_id, found.id, found.version)


def resolve(
    connection: Connection, ledger: str, run: Run, moment: Moment, columns: Collection[str] | None = None
) -> Resolved:
    """What an execution was made of at a moment; with `columns`, no more than these are made of."""
    for snapshots in (True, False):
        found = _find(connection, ledger, run, moment, snapshots=snapshots)
        if found is None:
            break
        if columns is not None:
            found = found.narrowed(columns)
        point = (run.execution_id, found.version)
        stored = read_events(connection, ledger, needed({point: found}))
        if not is_stale(found.sources, point, stored):
            return Resolved(point, found, stored, decode_changes(stored))
    return Resolved((run.execution_id, 0), None, {}, {})


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


def _find(connection: Connection, ledger: str, run: Run, moment: Moment, *, snapshots: bool) -> Found | None:
    version = run.last if moment.version is None else moment.version
    if version > run.last:
        raise InvalidInput(
            field="version", problem=f"{version} is more than its {run.last} events", remedy="Ask for one it has had."
        )
    if moment.instant is not None:
        if moment.by == "occurred":
            return occurred_by(connection, ledger, *run, moment.instant, snapshots=snapshots)
        (version,) = recorded_by(connection, ledger, [(run.execution_id, run.last)], moment.instant)
    if version == 0:
        return None
    point = (run.execution_id, version)
    return find_sources(connection, ledger, [point], snapshots=snapshots)[point]
