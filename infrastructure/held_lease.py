"""A lease that renews itself in the background while its holder works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from ..domain import LeaseLost, LedgerError, StoreUnavailable
from .leases import Lease, Leases
from .short_transactions import transact
from .stopwatch import Stopwatch

_SHARE = 3
"""A lease is renewed this many times within its `ttl`, so that two tries may fail."""
_LONGEST_NAP = 1.0
_PATIENCE = 5.0
"""Seconds that the keeper of the lease gets for an answer, at least."""

_log = logging.getLogger("execution_ledger.leases")
_T = TypeVar("_T")


class LeaseKeeper(Protocol):
    """Where a lease is renewed and given back: `StoredLeases`, or a client of a service."""

    def renew_lease(self, lease: Lease, *, ttl: float) -> Awaitable[Lease]:
        """Let it last so many seconds from now on."""
        ...

    def release_lease(self, lease: Lease) -> Awaitable[object]:
        """Give it back; one that was lost may be refused."""
        ...


class StoredLeases:
    """Leases in a database, each time on a connection that nobody else has."""

    def __init__(self, engine: AsyncEngine, leases: Leases) -> None:
        self._engine = engine
        self._leases = leases

    async def renew_lease(self, lease: Lease, *, ttl: float) -> Lease:
        """Let it last so many seconds from now on."""
        return await transact(self._engine, lambda each: self._leases.renew(each, lease, ttl), single=True)

    async def release_lease(self, lease: Lease) -> bool:
        """Give it back; False where it was lost."""
        return await transact(self._engine, lambda each: self._leases.release(each, lease), single=True)


class HeldLease:
    """A lease in the hands of this process. Write with `lease=held.lease`, and `check()` before what cannot be undone.

    `since` was started before the lease was taken.
    """

    def __init__(self, keeper: LeaseKeeper, lease: Lease, ttl: float, since: Stopwatch) -> None:
        self.lease = lease
        """As it was last renewed."""
        self.lost = asyncio.Event()
        """Set once the lease is somebody else's, or its run was ended."""
        self.trouble: LedgerError | None = None
        """Why the last try to renew it failed; None while all is well."""
        self._keeper = keeper
        self._ttl = ttl
        self._since = since

    @property
    def remaining(self) -> float:
        """Seconds for which nobody else can have it, by this process's own clocks; less than 0 where somebody may."""
        return float("-inf") if self.lost.is_set() else self._ttl - self._since.seconds

    def check(self) -> None:
        """Refuse with `LeaseLost` once it is lost, or may be, since it could not be renewed in time."""
        if self.remaining <= 0:
            raise LeaseLost(key=self.lease.key, token=self.lease.token)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew it in the background while the block lasts."""
        task = asyncio.create_task(self._keep(), name=f"lease on {self.lease.key}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()  # an error that nobody foresaw

    async def release(self) -> None:
        """Give it back. One that cannot be given back expires by itself."""
        try:
            await _answered(self._keeper.release_lease(self.lease), _PATIENCE)
        except LeaseLost:
            pass
        except LedgerError as error:
            _log.warning(
                "the lease on %r was not released, and will expire: %s",
                self.lease.key,
                error,
                extra={"action": "lease_not_released", "job_id": self.lease.key},
            )

    async def _keep(self) -> None:
        """Renew it again and again, until it is lost; also while its keeper is away."""
        failures = 0
        while not self.lost.is_set():
            await self._sleep(failures)
            try:
                await self._renew()
            except LeaseLost:
                self.lost.set()
            except LedgerError as error:
                self.trouble, failures = error, failures + 1
            else:
                self.trouble, failures = None, 0

    async def _sleep(self, failures: int) -> None:
        """Until the next try is due; in short naps, to notice soon after the machine was suspended."""
        if failures:
            await asyncio.sleep(min(0.1 * 2 ** min(failures, 4), self._ttl / _SHARE, _LONGEST_NAP))
            return
        while (left := self._ttl / _SHARE - self._since.seconds) > 0:
            await asyncio.sleep(min(left, _LONGEST_NAP))

    async def _renew(self) -> None:
        since = Stopwatch()
        renewal = self._keeper.renew_lease(self.lease, ttl=self._ttl)
        self.lease = await _answered(renewal, max(self._ttl, _PATIENCE))
        self._since = since


async def _answered(work: Awaitable[_T], seconds: float) -> _T:
    try:
        # Bounded, since a connection whose other end is gone may not say so for minutes.
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise StoreUnavailable(problem="it did not answer in time") from error
