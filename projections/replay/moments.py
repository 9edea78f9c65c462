"""A moment in the life of an execution: a version, or an instant by one of its two clocks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Connection, Select, and_, bindparam, case, cast, func, select

from ...domain import InvalidInput
from ...domain.values import check_int, check_time, shown
from ...infrastructure.entity import EXECUTIONS
from ...infrastructure.tables import execution_events, execution_snapshots
from ...infrastructure.types import UTCDateTime
from ..key_rows import dump_keys, key_rows
from ..sources import Found, Stretch, read_changes, shapes_of

Clock = Literal["recorded", "occurred"]
"""Whose time an instant is: the ledger's (when it learned of an event), or the reporter's (when it happened)."""


class Moment(NamedTuple):
    """Right after a version, or what was known or had happened at an instant; now, where neither is given."""

    version: int | None = None
    instant: datetime | None = None
    by: Clock = "recorded"

    @classmethod
    def of(cls, version: Any = None, as_of: Any = None, by: Any = "recorded") -> Moment:
        """A checked moment. An instant is a datetime (naive means UTC) or ISO 8601 text."""
        check_clock(by)
        if version is not None and as_of is not None:
            raise InvalidInput(field="as_of", problem="is given beside a version", remedy="Send one of the two.")
        return cls(
            None if version is None else check_int(version, "version", 0),
            None if as_of is None else check_time(as_of, "as_of"),
            by,
        )


def check_clock(by: Any) -> None:
    """Refuse what names no clock."""
    if by not in get_args(Clock):
        raise InvalidInput(field="by", problem=f"{shown(by)} is no clock", remedy="Use recorded or occurred.")


def recorded_by(connection: Connection, ledger: str, lasts: Sequence[tuple[UUID, int]], instant: datetime) -> list[int]:
    """The last version of each execution that was recorded by an instant, out of its `last`; 0 where none was.

    Halves the runs again and again, since no event is recorded earlier than the one before: log2 of the length point
    reads for each, in one statement.
    """
    dialect = connection.dialect.name
    keys = dump_keys(dialect, ({"execution_id": id, "version": last} for id, last in lasts))
    versions = [0] * len(lasts)
    for n, version in connection.execute(_search(dialect), {"ledger": ledger, "instant": instant, **keys}):
        versions[n] = version
    return versions


@lru_cache
def _search(dialect: str) -> Select[*tuple[Any, ...]]:
    keys, event = key_rows(dialect, "execution_id", "version"), execution_events.c
    start = select(keys.c.n, keys.c.execution_id, cast(0, BigInteger).label("low"), keys.c.version.label("high"))
    search = start.cte("search", recursive=True)
    on = and_(
        event.ledger_id == bindparam("ledger"),
        event.execution_id == search.c.execution_id,
        event.version == (search.c.low + search.c.high + 1) // 2,
    )
    early = event.recorded_at <= bindparam("instant", type_=UTCDateTime())
    half = select(
        search.c.n,
        search.c.execution_id,
        case((early, event.version), else_=search.c.low),
        case((early, search.c.high), else_=event.version - 1),
    ).select_from(search.outerjoin(execution_events, on))
    search = search.union_all(half.where(search.c.low < search.c.high))
    return select(search.c.n, search.c.low).where(search.c.low == search.c.high)


def occurred_by(
    connection: Connection, ledger: str, execution_id: UUID, id: int, last: int, instant: datetime, *, snapshots: bool
) -> Found | None:
    """The sources of what had happened by an instant; None where that is before the creation.

    Events that happened later are left out, the others count in the order in which they were recorded. Snapshots tell
    which parts of the run lie wholly before the instant and which wholly after: neither is read.
    """
    base, sources, stretches = 0, {}, [Stretch(execution_id, 0, last)]
    if snapshots:
        base, sources, stretches = _around(connection, ledger, execution_id, last, instant)
    version = max(base, _last_occurred(connection, ledger, stretches, instant))
    if not base and not _last_occurred(connection, ledger, [Stretch(execution_id, 0, 1)], instant):
        return None
    for changed in read_changes(connection, ledger, stretches, occurred_by=instant):
        sources |= changed
    return Found(id, version, sources)


def _around(
    connection: Connection, ledger: str, execution_id: UUID, last: int, instant: datetime
) -> tuple[int, dict[str, int], list[Stretch]]:
    """The last snapshot of which all had happened, and the stretches after it that may hold something that had."""
    snapshot = execution_snapshots.c
    mine = and_(snapshot.ledger_id == ledger, snapshot.execution_id == execution_id, snapshot.version <= last)
    before = connection.execute(
        select(snapshot.version, snapshot.sources)
        .where(mine, snapshot.latest_at <= instant, snapshot.shapes == shapes_of(EXECUTIONS))
        .order_by(snapshot.version.desc())
        .limit(1)
    ).one_or_none()
    base = before.version if before else 0
    after = connection.execute(
        select(snapshot.since, snapshot.version)
        .where(mine, snapshot.since >= base, snapshot.earliest_at > instant)
        .order_by(snapshot.version)
    )
    stretches: list[Stretch] = []
    low = base
    for since, version in after:
        if since > low:
            stretches.append(Stretch(execution_id, low, since))
        low = max(low, version)
    if last > low:
        stretches.append(Stretch(execution_id, low, last))
    return base, msgspec.json.decode(before.sources) if before else {}, stretches


def _last_occurred(connection: Connection, ledger: str, stretches: list[Stretch], instant: datetime) -> int:
    dialect, event = connection.dialect.name, execution_events.c
    keys = key_rows(dialect, "execution_id", "low", "version")
    on = and_(
        event.ledger_id == ledger,
        event.execution_id == keys.c.execution_id,
        event.version > keys.c.low,
        event.version <= keys.c.version,
        func.coalesce(event.occurred_at, event.recorded_at) <= instant,
    )
    statement = select(func.max(event.version)).select_from(keys.outerjoin(execution_events, on))
    return connection.execute(statement, dump_keys(dialect, (each._asdict() for each in stretches))).scalar() or 0


def version_or_time(text: str) -> int | str:
    """What people write for a moment: digits are a version, all else is to be a time."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text
