"""Where a run is recorded: in a database, or at a service. Both are called with the repository's methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from ...domain import LedgerError, StoreUnavailable
from ...infrastructure import Lease, LeaseKeeper, Leases, Settings, StoredLeases
from ...infrastructure.database_errors import translated
from ..runtime import Ledger, open_ledger, shorten_waits

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ..client import AsyncLedgerClient

_BUSY_SECONDS = 1.0
"""Seconds that one try to write waits for another process: what cannot be interrupted must be short."""
_PATIENCE = 5.0
"""Seconds for which a service that does not answer is asked again, before anything is run."""
_TOO_MANY = 429


class Backend(Protocol):
    """What `record` asks of a ledger."""

    most: int
    """Operations that are written together at most."""
    keeper: LeaseKeeper

    async def begin(self, data: Mapping[str, Any], *, reason: str | None, holder: str, ttl: float) -> Lease:
        """Create the execution, start it and take its lease."""
        ...

    def executions(self, *, together: bool) -> AbstractAsyncContextManager[Any]:
        """What has the methods of the repository; `together`: what is called inside is written at the end, or not."""
        ...


@asynccontextmanager
async def open_backend(settings: Settings, actor: str) -> AsyncIterator[Backend]:
    """The service that the settings name, else the database."""
    if settings.url is None:
        async with open_ledger(settings) as ledger:
            await shorten_waits(ledger, _BUSY_SECONDS)  # so that a signal need not wait for who else writes
            yield DatabaseBackend(ledger, actor)
        return
    from ..terminal.service_reader import open_client

    async with open_client(settings, patience=_PATIENCE) as client:
        yield ServiceBackend(client)


class DatabaseBackend:
    """A database. The beginning is one transaction, and so is what is written together."""

    most = 100

    def __init__(self, ledger: Ledger, actor: str) -> None:
        self.keeper: LeaseKeeper = StoredLeases(ledger.engine, Leases(ledger.store))
        self._ledger = ledger
        self._actor = actor

    async def begin(self, data: Mapping[str, Any], *, reason: str | None, holder: str, ttl: float) -> Lease:
        """Create the execution, start it and take its lease."""
        async with self.executions(together=True) as executions:
            await executions.create_execution(data, reason=reason)
            await executions.transition(data["job_id"], "started")
            return await executions.take_lease(data["job_id"], holder=holder, ttl=ttl)

    @asynccontextmanager
    async def executions(self, *, together: bool) -> AsyncIterator[Any]:
        """The repository; `together`: in one transaction."""
        async with self._ledger.sessions() as session:
            yield self._ledger.executions(session, commit=not together, actor=self._actor)
            if together:
                with translated():
                    await session.commit()


class ServiceBackend:
    """A service. Each call is a request of its own; with its Idempotency-Key, it can be sent again."""

    most = 1

    def __init__(self, client: AsyncLedgerClient) -> None:
        # It has these methods by descriptors, which a type checker does not compare with a protocol.
        self.keeper = cast(LeaseKeeper, client)
        self._client = client

    async def begin(self, data: Mapping[str, Any], *, reason: str | None, holder: str, ttl: float) -> Lease:
        """Create the execution, take its lease and start it.

        In this order: what is left of a beginning that breaks off is pending, as it should be, or a reaper ends it.
        """
        job_id = data["job_id"]
        async with self.executions(together=False) as executions:
            await executions.create_execution(data, reason=reason)
            lease = await executions.take_lease(job_id, holder=holder, ttl=ttl)
            await executions.transition(job_id, "started", lease=lease)
        self._client.patience = 0  # from now on it tells at once that there is no answer: whoever calls tries again
        return lease

    @asynccontextmanager
    async def executions(self, *, together: bool) -> AsyncIterator[Any]:
        """The client. What is wrong with the service, rather than with what was sent, may pass."""
        try:
            yield self._client
        except LedgerError as error:
            if _status(error) >= 500 or _status(error) == _TOO_MANY:
                raise StoreUnavailable.told(str(error), {"problem": str(error)}) from error
            raise


def _status(error: LedgerError) -> int:
    from ..client import ServiceError
    from ..http.problem_kinds import find_kind

    return error.status if isinstance(error, ServiceError) else find_kind(type(error)).status
