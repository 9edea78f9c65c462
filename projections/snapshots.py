"""The snapshots of long runs, as a projection: off the write path, and nothing but time is lost without them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Executable,
    Select,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    true,
    union_all,
)

from ..infrastructure.entity import EXECUTIONS, Entity
from ..infrastructure.tables import execution_events, execution_snapshots
from .beside import real_ledger
from .key_rows import json_members, json_object_of
from .recorded_event import RecordedEvent
from .sources import set_names, shapes_of

EVERY = 100
"""Versions from one snapshot to the next; a run that has fewer has none."""


class ExecutionSnapshots:
    """Keeps, every so many versions of a run, which version set each column: names and numbers, never a value."""

    name = "execution_snapshots"
    tables = (execution_snapshots,)
    types = None
    """Events of all types: any may be the one at which a snapshot is due."""

    def __init__(self, every: int = EVERY, entity: Entity = EXECUTIONS) -> None:
        self.every = every
        self.entity = entity
        self.only = execution_events.c.version % every == 0

    def statements(self, event: RecordedEvent) -> Iterable[Executable]:
        """What makes the snapshot at a version where one is due; nothing at any other. Again it changes nothing."""
        if event.version % self.every == 0:
            snapshot, shapes = execution_snapshots.c, shapes_of(self.entity)
            yield delete(execution_snapshots).where(
                snapshot.ledger_id == event.ledger_id,
                snapshot.execution_id == event.execution_id,
                snapshot.version == event.version,
                snapshot.shapes != shapes,
            )
            yield self._take(event.ledger_id, event.execution_id, event.version, shapes)

    def _take(self, ledger: str, execution_id: UUID, version: int, shapes: str) -> Executable:
        snapshot, event = execution_snapshots.c, execution_events.c
        mine = and_(snapshot.ledger_id == ledger, snapshot.execution_id == execution_id)
        run = and_(event.ledger_id == real_ledger(ledger), event.execution_id == execution_id, event.version <= version)
        at = func.coalesce(event.occurred_at, event.recorded_at)
        before = (
            select(snapshot.version, snapshot.sources, snapshot.latest_at)
            .where(mine, snapshot.version < version, snapshot.shapes == shapes)
            .order_by(snapshot.version.desc())
            .limit(1)
            .cte("earlier")
        )
        new = and_(run, event.version > func.coalesce(select(before.c.version).scalar_subquery(), 0))
        since = max(version - self.every, 0)
        row = select(
            literal(ledger, snapshot.ledger_id.type),
            literal(execution_id, snapshot.execution_id.type),
            literal(version, BigInteger),
            literal(shapes, Text),
            self._sources(before, new),
            literal(since, BigInteger),
            select(func.min(at)).where(run, event.version > since).scalar_subquery(),
            _greatest(select(before.c.latest_at), select(at).where(new)),
        ).where(~exists().where(mine, snapshot.version == version))
        return insert(execution_snapshots).from_select([column.name for column in execution_snapshots.columns], row)

    def _sources(self, before: CTE, new: ColumnElement[bool]) -> ColumnElement[Any]:
        """The map of the snapshot before, with what the events since then set laid over it."""
        event = execution_events.c
        member, name = set_names(execution_events, self.entity)
        set_now = (
            select(name.label("name"), event.version.label("version"))
            .select_from(execution_events.outerjoin(member, true()))
            .where(new, event.type.in_(self.entity.projected_types))
        )
        known = json_members(before.c.sources).table_valued("key", "value", name="s")
        set_before = select(known.c.key, cast(known.c.value, BigInteger)).select_from(before.join(known, true()))
        each = union_all(set_now, set_before).subquery("u")
        last = (
            select(each.c.name, func.max(each.c.version).label("version"))
            .where(each.c.name.is_not(None))
            .group_by(each.c.name)
            .subquery("w")
        )
        return select(func.coalesce(json_object_of(last.c.name, last.c.version), "{}")).scalar_subquery()


def _greatest(*times: Select[Any]) -> ColumnElement[Any]:
    each = union_all(*times).subquery("t")
    return select(func.max(each.c[0])).scalar_subquery()
