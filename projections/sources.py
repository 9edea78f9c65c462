"""Which version set each column of an execution's row: its state without the values, whatever their size.

The row is the merge of what events set (decision 6), so at any version it is told by a map of column → version of the
event that set it last. The database makes the map out of the names in the payloads; only the events in it are read. A
snapshot is the map at some version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Select, Text, and_, bindparam, case, cast, func, or_, select, true

from ..infrastructure.entity import EXECUTIONS, Entity
from ..infrastructure.tables import execution_events, execution_snapshots, execution_streams
from ..infrastructure.types import UTCDateTime
from .key_rows import dump_keys, json_members, key_rows

Sources = Mapping[str, int]
"""Column → version. Beside columns: `REMOVED`, `ERASED`, and `type:schema_version:key` where a payload is of another
schema version than today's."""

REMOVED = "-"
"""Stands for the row: the version that took it out of the history."""
ERASED = "*"
"""The last version whose payload is erased: what it set is not known, and what was set before may be out of date."""

Point = tuple[UUID, int]
"""An execution, right after a version."""


class Found(NamedTuple):
    """What is known of an execution at a point."""

    id: int
    version: int
    """The version asked for, or the last one where that is earlier."""
    sources: Sources

    def narrowed(self, columns: Collection[str]) -> Found:
        """Without the sources of other columns; what stands for no column stays."""
        kept = {
            name: version
            for name, version in self.sources.items()
            if name in columns or name in (REMOVED, ERASED) or ":" in name
        }
        return self._replace(sources=kept)


def shapes_of(entity: Entity) -> str:
    """The schema versions that the maps of today are made with, as far as they are not 1."""
    events = sorted((event.TOPIC, event.class_version) for event in entity.catalog)
    return " ".join(f"{topic}:{version}" for topic, version in events if version != 1)


class Stretch(NamedTuple):
    """Events of an execution: those after version `low`, up to `version`."""

    execution_id: UUID
    low: int
    version: int


def find_sources(
    connection: Connection,
    ledger: str,
    points: Iterable[Point],
    entity: Entity = EXECUTIONS,
    *,
    snapshots: bool = True,
) -> dict[Point, Found]:
    """The sources at each point; in two statements, however many. Executions that there never were are left out.

    A point costs the events since the nearest snapshot or, where that is nearer, since an earlier point.
    """
    wanted = sorted(set(points))
    bases = _find_bases(connection, ledger, wanted, entity)
    stretches: list[Stretch] = []
    starts: list[Sources | None] = []
    before = None
    for point, base in bases.items():
        low, start = (base.snapshot, base.sources) if snapshots else (0, {})
        if before is not None and before[0] == point[0] and low <= bases[before].version:
            low, start = bases[before].version, None  # goes on from there
        stretches.append(Stretch(point[0], min(low, base.version), base.version))
        starts.append(start)
        before = point
    changes = read_changes(connection, ledger, stretches, entity)
    found: dict[Point, Found] = {}
    sources: Sources = {}
    for (point, base), start, changed in zip(bases.items(), starts, changes, strict=True):
        sources = {**(sources if start is None else start), **changed}
        found[point] = Found(base.id, base.version, sources)
    return found


def read_changes(
    connection: Connection,
    ledger: str,
    stretches: list[Stretch],
    entity: Entity = EXECUTIONS,
    *,
    occurred_by: datetime | None = None,
) -> list[dict[str, int]]:
    """What the events of each stretch set; with `occurred_by`, those that had happened by then."""
    changes: list[dict[str, int]] = [{} for _ in stretches]
    if stretches:
        dialect = connection.dialect.name
        parameters: dict[str, Any] = {"ledger": ledger, **dump_keys(dialect, (each._asdict() for each in stretches))}
        if occurred_by is not None:
            parameters["occurred_by"] = occurred_by
        statement = _changes(dialect, entity, occurred_by is not None)
        for n, name, version in connection.execute(statement, parameters):
            if version is not None:
                changes[n][name] = version
    return changes


class _Base(NamedTuple):
    id: int
    version: int
    snapshot: int
    """The version of the nearest snapshot, 0 where there is none."""
    sources: Sources


def _find_bases(connection: Connection, ledger: str, points: list[Point], entity: Entity) -> dict[Point, _Base]:
    if not points:
        return {}
    dialect = connection.dialect.name
    keys = dump_keys(dialect, ({"execution_id": id, "version": version} for id, version in points))
    parameters = {"ledger": ledger, "shapes": shapes_of(entity), **keys}
    bases: dict[Point, _Base] = {}
    for n, id, last, snapshot, sources in connection.execute(_bases(dialect), parameters):
        if id is not None:
            map = {} if sources is None else msgspec.json.decode(sources)
            bases[points[n]] = _Base(id, min(points[n][1], last), snapshot or 0, map)
    return {point: bases[point] for point in points if point in bases}


def set_names(event: Any, entity: Entity) -> tuple[Any, Any]:
    """The members of an event's payload, to be joined, and the expression that makes them keys of `Sources`."""
    kinds = {kind.TOPIC: kind.class_version for kind in entity.catalog if kind.TOPIC in entity.projected_types}
    removing = [kind.TOPIC for kind in entity.catalog if kind.removes]
    member = json_members(event.c.data).table_valued("key", "value", name="m")
    foreign = [
        and_(event.c.type.in_([each for each in kinds if kinds[each] == version]), event.c.schema_version != version)
        for version in sorted(set(kinds.values()))
    ]
    foreign_name = event.c.type + ":" + cast(event.c.schema_version, Text) + ":" + member.c.key
    name = case(
        (event.c.type.in_(removing), REMOVED),
        (event.c.data.is_(None), ERASED),
        (or_(*foreign), foreign_name),
        else_=member.c.key,
    )
    return member, name


@lru_cache
def _bases(dialect: str) -> Select[*tuple[Any, ...]]:
    keys, stream = key_rows(dialect, "execution_id", "version"), execution_streams.c
    snapshot, older = execution_snapshots.c, execution_snapshots.alias("o").c
    ledger = bindparam("ledger", type_=stream.ledger_id.type)
    nearest = (
        select(func.max(older.version))
        .where(
            older.ledger_id == ledger,
            older.execution_id == keys.c.execution_id,
            older.version <= keys.c.version,
            older.shapes == bindparam("shapes"),
        )
        .scalar_subquery()
    )
    joined = keys.outerjoin(
        execution_streams, and_(stream.ledger_id == ledger, stream.execution_id == keys.c.execution_id)
    ).outerjoin(
        execution_snapshots,
        and_(
            snapshot.ledger_id == ledger,
            snapshot.execution_id == keys.c.execution_id,
            snapshot.version == nearest,
        ),
    )
    return select(keys.c.n, stream.id, stream.version, snapshot.version, snapshot.sources).select_from(joined)


@lru_cache
def _changes(dialect: str, entity: Entity, by_time: bool) -> Select[*tuple[Any, ...]]:
    keys, event = key_rows(dialect, "execution_id", "low", "version"), execution_events.c
    member, name = set_names(execution_events, entity)
    conditions = [
        event.ledger_id == bindparam("ledger"),
        event.execution_id == keys.c.execution_id,
        event.version > keys.c.low,
        event.version <= keys.c.version,
        event.type.in_(entity.projected_types),
    ]
    if by_time:
        at = func.coalesce(event.occurred_at, event.recorded_at)
        conditions.append(at <= bindparam("occurred_by", type_=UTCDateTime()))
    joined = keys.outerjoin(execution_events, and_(*conditions)).outerjoin(member, true())
    named = select(keys.c.n, name.label("name"), event.version).select_from(joined).subquery()
    return select(named.c.n, named.c.name, func.max(named.c.version)).group_by(named.c.n, named.c.name)
