"""The reaper: ends executions whose lease expired, and no others. Any number of them may run at once, anywhere."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete
from sqlalchemy.ext.asyncio import AsyncEngine

from ..domain import Context, Expire, LedgerError, StoreUnavailable, make_context
from .batch import make_batch
from .connections import check_connection, write_transaction
from .event_store import EventStore
from .leases import Expired, Leases
from .requests import Request
from .short_transactions import transact
from .stream_memory import memory_of
from .streams import Found, lock_streams
from .tables import execution_leases

REAPER = "reaper"
"""The actor of what a reaper does, unless it is told another one."""
REASON = "its lease expired"

_PAGE = 100
Transact = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
"""Runs one piece of work in a transaction."""


class Reaped(NamedTuple):
    """A lease that a reaper took away, and what became of its run."""

    ledger: str
    id: int
    key: str
    """The job id."""
    token: int
    holder: str
    expired_at: datetime
    at: datetime
    """When it was seen to be expired, by the clock that leases go by."""
    status: str | None
    """What the run was ended as; None where it had ended already, or was deleted."""


def reap(connection: Connection, leases: Leases, found: Expired, context: Context) -> Reaped | None:
    """End the run of a lease that was found expired, in one transaction, which the caller commits.

    None, and nothing written, where it is not so (it was renewed, released, taken anew, reaped by another) or where
    somebody is at work on it this moment: whoever holds a lock of it is no less alive than we are, so nobody waits.
    """
    check_connection(connection)
    ledger, execution_id, token = found
    with write_transaction(connection, savepoint=False):
        state = lock_streams(connection, ledger, [execution_id], skip_locked=True).get(execution_id)
        held = leases.lock(connection, ledger, execution_id, skip_locked=True) if state is not None else None
        now = leases.now(connection)  # once both rows are locked: from here on nobody can renew it
        if state is None or held is None or held.token != token or not held.is_expired(now):
            return None
        assert state.id is not None
        request = Request(
            ledger=ledger,
            target=state.id,
            command=Expire(token=held.token, holder=held.holder, expired_at=held.expires_at),
            context=context,
        )
        work = leases.store.decide(request, Found(True, state, {}, None))  # None for what was deleted
        column = execution_leases.c
        where = (column.ledger_id == ledger, column.execution_id == execution_id)
        connection.execute(delete(execution_leases).where(*where))
        status = None
        if work is not None and work.events:
            status = work.aggregate.status
            appended = leases.store.append(connection, make_batch(ledger, [work]))  # last, since it takes the head
            assert appended is not None, "the stream is locked"
            memory_of(connection).forget(ledger, state)
        return Reaped(ledger, state.id, state.key, token, held.holder, held.expires_at, now, status)


async def reap_all(
    run: Transact, leases: Leases, *, ledger: str | None = None, limit: int | None = None, **context: Any
) -> AsyncIterator[Reaped]:
    """One pass over all leases that are expired, of one ledger or of all, each in a transaction of its own.

    What goes wrong with one of them is raised when the others are done.
    """
    circumstances = make_context(Context(actor=REAPER, reason=REASON), **context)
    failed: LedgerError | None = None
    last: Expired | None = None
    reaped = 0
    while limit is None or reaped < limit:
        page: list[Expired] = await run(_finder(leases, ledger, last))
        if not page:
            break
        last = page[-1]
        random.shuffle(page)  # several reapers that begin at once do not all begin with the same one
        for found in page:
            if reaped == limit:
                break
            try:
                done: Reaped | None = await run(_ender(leases, found, circumstances))
            except StoreUnavailable:
                raise
            except LedgerError as error:
                failed = error
            else:
                if done is not None:
                    reaped += 1
                    yield done
    if failed is not None:
        raise failed


def _finder(leases: Leases, ledger: str | None, after: Expired | None) -> Callable[[Connection], list[Expired]]:
    return lambda connection: leases.find_expired(connection, ledger=ledger, after=after, limit=_PAGE)


def _ender(leases: Leases, found: Expired, context: Context) -> Callable[[Connection], Reaped | None]:
    return lambda connection: reap(connection, leases, found, context)


def reap_expired_leases(
    engine: AsyncEngine, store: EventStore, *, ledger: str | None = None, limit: int | None = None, **context: Any
) -> AsyncIterator[Reaped]:
    """One pass over the expired leases of a database, of one ledger or of all; tells of each as it goes."""
    return reap_all(partial(transact, engine), Leases(store), ledger=ledger, limit=limit, **context)


async def count_expired_leases(engine: AsyncEngine, store: EventStore, *, ledger: str | None = None) -> int:
    """How many a pass would find."""
    return await transact(engine, lambda connection: Leases(store).count_expired(connection, ledger=ledger))
