"""Executions as they were right after a version: the projected row, made of the events that its values come from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, select

from ..infrastructure.batch import Row
from ..infrastructure.codec import decode_event
from ..infrastructure.entity import EXECUTIONS, Entity
from ..infrastructure.tables import execution_events
from .key_rows import dump_keys, key_rows
from .sources import ERASED, REMOVED, Found, Point, Sources, find_sources

StoredEvents = Mapping[Point, Any]
"""Rows of `execution_events` by execution and version."""


def states_at(
    connection: Connection, ledger: str, points: Sequence[Point], *, entity: Entity = EXECUTIONS
) -> dict[Point, Row | None]:
    """The projected row of each execution right after that version, as `execution_history` had it.

    None at version 0, after a deletion, and where there never was such an execution; a version that is still to come is
    the last one. Three statements, however many points there are. The rows share their JSON values: copy before you
    change one. All are in memory at once: mind how many points you ask for where results are large.
    """
    found = find_sources(connection, ledger, (point for point in points if point[1] > 0), entity)
    stored = read_events(connection, ledger, needed(found))
    if stale := [point for point in found if is_stale(found[point].sources, point, stored)]:
        found |= find_sources(connection, ledger, stale, entity, snapshots=False)
        stored = read_events(connection, ledger, needed(found))
    changes = decode_changes(stored, entity)
    rows: dict[Point, Row | None] = dict.fromkeys(points)
    for point, each in found.items():
        rows[point] = make_row(ledger, point, each, stored, changes, entity)
    return rows


def needed(found: Mapping[Point, Found]) -> list[Point]:
    """The events that the rows at these points are made of: the sources, and the last one."""
    wanted: set[Point] = set()
    for (execution_id, _), each in found.items():
        if REMOVED not in each.sources:
            wanted.update((execution_id, version) for name, version in each.sources.items() if name != ERASED)
            wanted.add((execution_id, each.version))
    return sorted(wanted)


def is_stale(sources: Sources, point: Point, stored: StoredEvents) -> bool:
    """Whether a payload was erased since a snapshot named it: what counts then is what was set before."""
    if REMOVED in sources:
        return False
    return any(
        stored[point[0], version].data is None for name, version in sources.items() if name not in (ERASED, REMOVED)
    )


def decode_changes(stored: StoredEvents, entity: Entity = EXECUTIONS) -> dict[Point, dict[str, Any]]:
    """What each of these events sets, with today's names and types."""
    return {point: decode_event(event, entity.catalog).data.changes() for point, event in stored.items()}


def make_row(
    ledger: str,
    point: Point,
    found: Found,
    stored: StoredEvents,
    changes: Mapping[Point, Mapping[str, Any]],
    entity: Entity = EXECUTIONS,
) -> Row | None:
    """The row: what its sources set, in order, with the version and time of the last event."""
    if REMOVED in found.sources:
        return None
    execution_id = point[0]
    row = entity.blank(ledger) | {"id": found.id}
    for version in sorted({version for name, version in found.sources.items() if name != ERASED}):
        row |= changes[execution_id, version]
    last = stored[execution_id, found.version]
    return row | {"execution_id": execution_id, "version": found.version, "updated_at": last.recorded_at}


def read_events(connection: Connection, ledger: str, points: Collection[Point]) -> dict[Point, Any]:
    """Stored events by their keys, in one statement; those that do not exist are left out."""
    if not points:
        return {}
    dialect = connection.dialect.name
    keys = dump_keys(dialect, ({"execution_id": id, "version": version} for id, version in points))
    rows: Iterable[Any] = connection.execute(_events(dialect), {"ledger": ledger, **keys})
    return {(row.execution_id, row.version): row for row in rows if row.version is not None}


@lru_cache
def _events(dialect: str) -> Select[Any]:
    keys, event = key_rows(dialect, "execution_id", "version"), execution_events.c
    on = and_(
        event.ledger_id == bindparam("ledger"),
        event.execution_id == keys.c.execution_id,
        event.version == keys.c.version,
    )
    return select(*(event[name] for name in EVENT_COLUMNS)).select_from(keys.outerjoin(execution_events, on))


_HASHES = {"ledger_id", "salt", "payload_digest", "leaf_hash"}
EVENT_COLUMNS = tuple(column.name for column in execution_events.columns if column.name not in _HASHES)
"""What is read of an event: all but its hashes."""
