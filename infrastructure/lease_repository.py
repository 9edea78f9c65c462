"""The repository's side of leases: take, renew, release, hold while working, and reap what expired."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from msgspec.structs import asdict
from sqlalchemy import Connection, Engine, StaticPool
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from ..domain import DEFAULT_TTL, InvalidInput, LedgerError
from .base_repository import BaseRepository, Model, commit_all, is_alone, is_idle
from .held_lease import HeldLease, StoredLeases
from .leases import Lease, Leases
from .reaper import Reaped, reap_all
from .short_transactions import work_directly
from .stopwatch import Stopwatch
from .unit_of_work import UnitOfWork

_T = TypeVar("_T")


class LeaseRepository(BaseRepository[Model]):
    """A repository whose entities can be leased. With `commit=False`, leases are taken in the caller's transaction.

    What waits there is flushed first, so that one can create an execution and take its lease in one go.
    """

    async def take_lease(self, id: int | str, *, holder: str, ttl: float = DEFAULT_TTL) -> Lease:
        """Take a lease for `ttl` seconds; `holder` names the worker, and no two workers alike.

        Refused with `LeaseHeld` while another holder has one, with `UnknownExecution` or `IllegalTransition` where
        there is nothing to work on. The holder itself may take it anew: under a new token, and the old one is lost.
        """
        target = self._target(id)
        return await self._transact(
            lambda connection: self._leases.take(connection, self.ledger, target, holder=holder, ttl=ttl)
        )

    async def find_lease(self, id: int | str, token: int) -> Lease:
        """The lease with this token, as its holder told it; `LeaseLost` where it is no longer the one that counts."""
        target = self._target(id)
        return await self._read(lambda session: self._leases.find(session.connection(), self.ledger, target, token))

    async def renew_lease(self, lease: Lease, *, ttl: float = DEFAULT_TTL) -> Lease:
        """Let it last `ttl` seconds from now on; `LeaseLost` where it is somebody else's, or its run was reaped."""
        return await self._transact(lambda connection: self._leases.renew(connection, lease, ttl), single=True)

    async def release_lease(self, lease: Lease) -> bool:
        """Give it back; False where it was lost or released before."""
        return await self._transact(lambda connection: self._leases.release(connection, lease), single=True)

    async def reap_expired_leases(self, *, limit: int | None = None) -> list[Reaped]:
        """End the executions of this ledger whose lease expired, each in a transaction of its own."""
        context = asdict(self._context)
        passing = reap_all(self._transact, self._leases, ledger=self.ledger, limit=limit, **context)
        return [reaped async for reaped in passing]

    @asynccontextmanager
    async def held_lease(self, id: int | str, *, holder: str, ttl: float = DEFAULT_TTL) -> AsyncIterator[HeldLease]:
        """Take a lease, renew it in the background on a connection of its own, release it when all went well.

        A block that an error ends leaves the lease to expire, so that a reaper ends the run.
        """
        keeper, since = StoredLeases(self._engine(), self._leases), Stopwatch()
        lease = await self.take_lease(id, holder=holder, ttl=ttl)
        held = HeldLease(keeper, lease, ttl, since)
        async with held.kept():
            yield held
        await held.release()

    @property
    def _leases(self) -> Leases:
        return Leases(self._store)

    def _engine(self) -> AsyncEngine:
        bind = self.session.sync_session.get_bind()
        if not isinstance(bind, Engine) or isinstance(bind.pool, StaticPool):
            raise InvalidInput(
                field="session",
                problem="has a single connection, and a lease is renewed on another one",
                remedy="Bind the session to an engine on a file or a server, or call renew_lease yourself.",
            )
        if not self._commit:
            raise InvalidInput(
                field="commit",
                problem="is False, and a lease that is not committed cannot be renewed",
                remedy="Hold the lease by a repository that commits.",
            )
        return AsyncEngine(bind)

    async def _transact(self, work: Callable[[Connection], _T], *, single: bool = False) -> _T:
        return await self._read(lambda session: self._work(session, work, single))

    def _work(self, session: Session, work: Callable[[Connection], _T], single: bool) -> _T:
        """Run `work` in the session's transaction; where it has none, as `transact` of an engine does."""
        if (unit := UnitOfWork.on(session)) is not None:
            unit.flush()
        idle = is_idle(session)
        alone = idle and self._commit and is_alone(session)
        autocommit = single and alone and session.get_bind().dialect.name != "sqlite"
        connection = session.connection(execution_options={"isolation_level": "AUTOCOMMIT"} if autocommit else None)
        try:
            done = work_directly(connection, work) if alone else work(connection)
        except LedgerError:
            if idle:
                session.commit()  # nothing was written; a rollback would expire what the caller has loaded
            raise
        except BaseException:
            if idle:
                session.rollback()
            raise
        if self._commit:
            commit_all(session)
        return done
