"""Leases in the database: take, renew, release, and find those that expired.

None of it is an event. The fencing token stands on the stream row, where every append guards it: what was decided under
an older token is decided again. The expiry stands in `execution_leases`, so that renewing touches neither stream nor
head. Locks are taken in the order that everybody keeps: stream, lease, head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from ..domain import DEFAULT_TTL, Held, InvalidInput, LeaseLost, StreamState, UnknownExecution, check_ttl, stream_id
from ..domain.limits import KEY_LENGTH
from ..domain.values import check_int, check_text
from .connections import check_connection, write_transaction
from .event_store import EventStore, utc_now
from .stream_memory import memory_of
from .streams import lock_streams, read_stream
from .tables import execution_leases, execution_streams
from .types import UTCDateTime


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on an execution, until it expires. Send it along with every write: `lease=lease`."""

    ledger: str
    id: int
    key: str
    """The job id."""
    execution_id: UUID
    token: int
    """Higher than that of every lease before it on the same execution."""
    holder: str
    taken_at: datetime
    expires_at: datetime
    """By the clock that all leases of the database go by: the database's own, or on SQLite this machine's."""


class Expired(NamedTuple):
    """A lease that was found expired: a hint, to be looked at again under locks."""

    ledger: str
    execution_id: UUID
    token: int


def database_time(connection: Connection, clock: Callable[[], datetime] = utc_now) -> datetime:
    """The time by a clock that all processes share: the database's own, or on SQLite this machine's."""
    if connection.dialect.name == "sqlite":
        return clock()
    # In a statement of its own, and later a parameter: a cluster takes no volatile function in an update.
    return connection.execute(select(func.clock_timestamp(type_=UTCDateTime))).scalar_one()


class Leases:
    """Leases on the entities of a store. Each call is one short transaction, which the caller commits."""

    def __init__(self, store: EventStore) -> None:
        self.store = store

    def now(self, connection: Connection) -> datetime:
        """The time by the one clock that says who is live; ask after the locks were had, never before."""
        return database_time(connection, self.store.clock)

    def take(
        self, connection: Connection, ledger: str, target: int | str, *, holder: str, ttl: float = DEFAULT_TTL
    ) -> Lease:
        """Take a lease, also on what its last holder let expire; refused with `LeaseHeld` while somebody has one."""
        holder, duration = check_text(holder, "holder", KEY_LENGTH, min_length=1), check_ttl(ttl)
        check_connection(connection)
        with write_transaction(connection, savepoint=False):
            state = self._lock_stream(connection, ledger, target)
            held = self.lock(connection, ledger, state.execution_id)
            now = self.now(connection)
            token = self.store.entity.aggregate.restore(state, {}).grant(holder, held, now)
            assert state.id is not None
            lease = Lease(ledger, state.id, state.key, state.execution_id, token, holder, now, now + duration)
            self._put(connection, lease, anew=held is not None)
        memory_of(connection).forget(ledger, state)  # its token is an old one
        return lease

    def renew(self, connection: Connection, lease: Lease, ttl: float = DEFAULT_TTL) -> Lease:
        """Let it last `ttl` seconds from now on, also where it expired unnoticed; `LeaseLost` where it is gone."""
        duration = check_ttl(ttl)
        check_connection(connection)
        with write_transaction(connection, savepoint=False):
            expires_at = self.now(connection) + duration
            column = execution_leases.c.expires_at
            # A renewal that was stuck on its way to a server may come after a later one, which it must not undo.
            latest = expires_at if connection.dialect.name == "sqlite" else func.greatest(column, expires_at)
            statement = update(execution_leases).where(*_is(lease)).values(expires_at=latest)
            if connection.execute(statement).rowcount != 1:
                raise LeaseLost(key=lease.key, token=lease.token)
        return replace(lease, expires_at=expires_at)

    def release(self, connection: Connection, lease: Lease) -> bool:
        """Give it back; False where it was lost or released before, which is just as well."""
        check_connection(connection)
        with write_transaction(connection, savepoint=False):
            return connection.execute(delete(execution_leases).where(*_is(lease))).rowcount == 1

    def find(self, connection: Connection, ledger: str, target: int | str, token: int) -> Lease:
        """The lease with this token, for whoever kept no more of it; `LeaseLost` where it does not count."""
        stream, lease = execution_streams.c, execution_leases.c
        mine = (lease.ledger_id == stream.ledger_id) & (lease.execution_id == stream.execution_id)
        named = stream.job_id == target if isinstance(target, str) else stream.id == target
        found = connection.execute(
            select(stream.id, stream.job_id, stream.deleted, execution_leases)
            .join_from(execution_streams, execution_leases, mine, isouter=True)
            .where(stream.ledger_id == ledger, named)
        ).one_or_none()
        if found is None or found.deleted:
            raise UnknownExecution(ledger=ledger, target=target)
        if found.token != token:
            raise LeaseLost(key=found.job_id, token=token)
        return Lease(
            ledger, found.id, found.job_id, found.execution_id, token, found.holder, found.taken_at, found.expires_at
        )

    def find_expired(
        self, connection: Connection, *, ledger: str | None = None, after: Expired | None = None, limit: int = 100
    ) -> list[Expired]:
        """A page of expired leases, of one ledger or of all, in the order of their keys. Nothing is locked."""
        lease = execution_leases.c
        statement = (
            select(lease.ledger_id, lease.execution_id, lease.token)
            .where(*self._expired(connection, ledger))
            .order_by(lease.ledger_id, lease.execution_id)
            .limit(limit)
        )
        if after is not None:
            later = and_(lease.ledger_id == after.ledger, lease.execution_id > after.execution_id)
            statement = statement.where(or_(lease.ledger_id > after.ledger, later))
        return [Expired(*row) for row in connection.execute(statement)]

    def count_expired(self, connection: Connection, *, ledger: str | None = None) -> int:
        """How many leases are expired, of one ledger or of all."""
        statement = select(func.count()).select_from(execution_leases).where(*self._expired(connection, ledger))
        return connection.execute(statement).scalar_one()

    def _expired(self, connection: Connection, ledger: str | None) -> Iterator[ColumnElement[bool]]:
        lease = execution_leases.c
        yield lease.expires_at <= self.now(connection)
        if ledger is not None:
            yield lease.ledger_id == ledger

    def lock(
        self, connection: Connection, ledger: str, execution_id: UUID, *, skip_locked: bool = False
    ) -> Held | None:
        """The lease on an entity, its row locked; the stream's is locked before. None also where it is skipped."""
        lease = execution_leases.c
        statement = (
            select(lease.token, lease.holder, lease.expires_at)
            .where(lease.ledger_id == ledger, lease.execution_id == execution_id)
            .with_for_update(skip_locked=skip_locked)
        )
        row = connection.execute(statement).one_or_none()
        return None if row is None else Held(*row)

    def _lock_stream(self, connection: Connection, ledger: str, target: int | str) -> StreamState:
        if isinstance(target, str):
            execution_id = stream_id(ledger, target)
        else:
            found = read_stream(connection, ledger, target).state
            execution_id = found.execution_id if found else None
        if execution_id is not None:
            state = lock_streams(connection, ledger, [execution_id]).get(execution_id)
            if state is not None and not state.deleted:
                return state
        raise UnknownExecution(ledger=ledger, target=target)

    def _put(self, connection: Connection, lease: Lease, *, anew: bool) -> None:
        key = {"ledger_id": lease.ledger, "execution_id": lease.execution_id}
        values = {name: getattr(lease, name) for name in ("token", "holder", "taken_at", "expires_at")}
        stream = execution_streams.c
        where = (stream.ledger_id == lease.ledger, stream.execution_id == lease.execution_id)
        connection.execute(update(execution_streams).where(*where).values(lease_token=lease.token))
        if anew:
            connection.execute(update(execution_leases).filter_by(**key).values(values))
        else:
            connection.execute(insert(execution_leases).values(key | values))


def _is(lease: Lease) -> tuple[Any, ...]:
    column = execution_leases.c
    return (
        column.ledger_id == lease.ledger,
        column.execution_id == lease.execution_id,
        column.token == lease.token,
    )


def check_lease(lease: Any, ledger: str, target: int | str | None) -> int:
    """The token of a write's option `lease`: a `Lease` (on that very execution), or the bare token."""
    if isinstance(lease, Lease):
        if lease.ledger != ledger or target not in (lease.id, lease.key):
            raise InvalidInput(
                field="lease",
                problem=f"is on {lease.key!r} of ledger {lease.ledger!r}",
                remedy="Send that of this one.",
            )
        return lease.token
    return check_int(lease, "lease", 1)
