"""A process that works under leases, or one that reaps: see `worker.py` for how it is talked to.

Every acknowledged lease is told as `done`: the job, and until when it lasts by the clock that leases go by.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.domain import LeaseLost
from execution_ledger.infrastructure import (
    EventStore,
    ExecutionRepository,
    Lease,
    Leases,
    create_engine,
    reap_expired_leases,
)
from execution_ledger.infrastructure.short_transactions import transact
from execution_ledger.infrastructure.stopwatch import Stopwatch
from execution_ledger.infrastructure.tables import ledgers

_PAUSE = 0.1


def say(**line: Any) -> None:
    """One line to whoever started us."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def hold(engine: AsyncEngine, job: dict[str, Any]) -> dict[str, Any]:
    """Work on every job at once; the answer says how each went."""
    told = await asyncio.gather(*(work(engine, job, job_id, how) for job_id, how in job["jobs"].items()))
    return dict(zip(job["jobs"], told, strict=True))


async def work(engine: AsyncEngine, job: dict[str, Any], job_id: str, how: str) -> dict[str, Any]:
    """Take a lease, renew it, and complete the run; or stall on the way, or say nothing more."""
    leases, ttl, chance = Leases(EventStore()), job["ttl"], random.Random(job_id)
    since = Stopwatch()
    lease = await transact(engine, lambda each: leases.take(each, "default", job_id, holder=job["name"], ttl=ttl))
    say(done=[job_id, lease.expires_at.isoformat()])
    bad_turn = chance.randrange(job["renewals"])
    for turn in range(job["renewals"]):
        pause = ttl / 3
        if turn == bad_turn and how == "dies":
            return {"became": "silent"}
        if turn == bad_turn and how == "stalls":
            pause = ttl * chance.uniform(0.5, 3)
        await asyncio.sleep(pause)
        try:
            before = Stopwatch()
            lease = await renew(engine, lease, ttl)
        except LeaseLost:
            return {"became": "lost", "after": since.seconds} | await report(engine, lease)
        since = before
        say(done=[job_id, lease.expires_at.isoformat()])
    told = await report(engine, lease)
    await transact(engine, lambda each: leases.release(each, lease), single=True)
    return {"became": "lost" if told["late"] else "done", "after": since.seconds} | told


async def renew(engine: AsyncEngine, lease: Lease, ttl: float) -> Lease:
    """Renew it on a connection of its own."""
    return await transact(engine, lambda each: Leases(EventStore()).renew(each, lease, ttl), single=True)


async def report(engine: AsyncEngine, lease: Lease) -> dict[str, Any]:
    """Tell the outcome under the lease, whether we have it or not."""
    async with AsyncSession(engine) as session:
        row = await ExecutionRepository(session).mark_execution_completed(lease.id, {"did": lease.key}, lease=lease)
        assert row is not None
        return {"status": row.status, "late": row.late_outcome is not None}


async def reap(engine: AsyncEngine, job: dict[str, Any]) -> dict[str, Any]:
    """Reap again and again, until every run has ended; the answer tells of each that we ended."""
    ended: list[dict[str, Any]] = []
    head = ledgers.c
    running = select(head.pending + head.preparing + head.running + head.waiting_for_approval + head.stopping)
    store = EventStore()
    left = 1
    while left:
        async for each in reap_expired_leases(engine, store, actor=job["name"]):
            ended.append(json.loads(json.dumps(each._asdict(), default=str)))
        async with engine.connect() as connection:
            left = (await connection.execute(running)).scalar_one()
        await asyncio.sleep(random.uniform(0, 2 * _PAUSE))
    return {"ended": ended}


async def run(job: dict[str, Any]) -> None:
    """One job on an engine of its own."""
    engine = create_engine(job["url"])
    try:
        answer = await {"hold": hold, "reap": reap}[job["job"]](engine, job)
    finally:
        await engine.dispose()
    say(answer=answer)


if __name__ == "__main__":
    say(answer="ready")
    for line in sys.stdin:
        asyncio.run(run(json.loads(line)))
