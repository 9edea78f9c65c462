"""A process that writes: it takes jobs as JSON lines, acknowledges what was committed, answers each job with a line.

Started by `processes.Worker`; every job runs eight (or so) asyncio writers over one engine.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import LedgerBusy, LedgerError
from execution_ledger.infrastructure import ExecutionRepository, create_engine

Sessions = async_sessionmaker[AsyncSession]
_LEDGERS = ("blue", "green", "red")


def say(**line: Any) -> None:
    """One line to whoever started us."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def updates(sessions: Sessions, job: dict[str, Any]) -> dict[str, Any]:
    """`count` updates by each writer, some alone and some in units of work, each with a message of its own."""
    errors: Counter[str] = Counter()
    waits: list[float] = []

    async def write(writer: int) -> None:
        chance = random.Random(f"{job['name']}-{writer}")
        targets = [*job["shared"], *job["separate"][writer]]
        done = 0
        while done < job["count"]:
            size = min(chance.randint(1, 4), job["count"] - done) if chance.random() < 0.5 else 0
            markers = [f"{job['name']}-{writer}-{done + at}" for at in range(size or 1)]
            began = time.perf_counter()
            while True:  # the same again where the ledger was busy: nothing of it was written
                try:
                    if size:
                        await unit(chance, targets, markers)
                    else:
                        await single(chance, targets, markers[0])
                except LedgerBusy as error:
                    errors[str(error)] += 1
                else:
                    break
            waits.append(time.perf_counter() - began)
            say(done=markers)
            done += len(markers)

    async def single(chance: random.Random, targets: list[int], marker: str) -> None:
        target = chance.choice(targets)
        async with sessions() as session:
            executions = ExecutionRepository(session, actor=f"{job['name']}", correlation_id=marker)
            if chance.random() < 0.3:
                assert await executions.get(target) is not None  # begins a transaction, so the write joins it
            options = {"command_id": marker} if chance.random() < 0.3 else {}
            row = await executions.update(target, {"message": marker}, **options)
            assert row is not None
            assert row.message == marker

    async def unit(chance: random.Random, targets: list[int], markers: list[str]) -> None:
        async with sessions() as session:
            executions = ExecutionRepository(session, commit=False, actor=job["name"], correlation_id=markers[0])
            for marker in markers:
                options = {"command_id": marker} if chance.random() < 0.3 else {}
                assert await executions.update(chance.choice(targets), {"message": marker}, **options) is not None
            await session.commit()

    async with asyncio.TaskGroup() as group:
        for writer in range(job["writers"]):
            group.create_task(write(writer))
    return {"errors": errors, "slowest": max(waits)}


async def race(sessions: Sessions, job: dict[str, Any]) -> dict[str, Any]:
    """Every writer makes the same moves, a round at a time; the answer says what became of each."""
    move = _MOVES[job["move"]]
    answers: list[list[str]] = []
    for at in range(job["rounds"]):
        outcomes = await asyncio.gather(
            *(_outcome(move, sessions, job, at, writer) for writer in range(job["writers"]))
        )
        answers.append(outcomes)
    return {"answers": answers}


async def _outcome(move: Any, sessions: Sessions, job: dict[str, Any], at: int, writer: int) -> str:
    try:
        async with sessions() as session:
            return str(await move(session, job, at, writer))
    except LedgerError as error:
        return type(error).__name__


async def create(session: AsyncSession, job: dict[str, Any], at: int, writer: int) -> Any:
    """Create the round's one job."""
    commit = bool(writer % 2)
    executions = ExecutionRepository(session, commit=commit, actor=f"{job['name']}-{writer}")
    row = await executions.create_execution({"job_id": f"job-{at}", "message": f"{job['name']}-{writer}"})
    await session.commit()
    return f"created {row.id}"


async def same_command(session: AsyncSession, job: dict[str, Any], at: int, writer: int) -> Any:
    """Send the round's one command."""
    executions = ExecutionRepository(session, commit=bool(writer % 2))
    while True:
        try:
            row = await executions.update(job["ids"][at], {"message": f"told {at}"}, command_id=f"command-{at}")
            assert row is not None
            version = row.version
            await session.commit()
        except LedgerBusy:  # it ran in another transaction meanwhile: the remedy is to send it again
            await session.rollback()
        else:
            return version


async def decide(session: AsyncSession, job: dict[str, Any], at: int, writer: int) -> Any:
    """Make one of the job's transitions."""
    executions = ExecutionRepository(session, commit=writer % 4 < 2)
    event = job["events"][writer % len(job["events"])]
    row = await executions.transition(job["ids"][at], event)
    assert row is not None
    await session.commit()
    return row.status


async def first_write(session: AsyncSession, job: dict[str, Any], at: int, writer: int) -> Any:
    """Write to a ledger that nobody wrote to yet."""
    executions = ExecutionRepository(session, commit=bool(writer % 2), ledger=f"ledger-{at}")
    row = await executions.create_execution({"job_id": f"{job['name']}-{writer}"})
    await session.commit()
    return row.id


async def several_ledgers(session: AsyncSession, job: dict[str, Any], at: int, writer: int) -> Any:
    """Write to three ledgers in one transaction, in an order of one's own; `flush` locks in that order, too."""
    order = random.Random(f"{job['name']}-{at}-{writer}").sample(_LEDGERS, 3)
    busy = 0
    while True:
        try:
            for ledger in order:
                executions = ExecutionRepository(session, commit=False, ledger=ledger)
                assert await executions.update("shared", {"message": f"{job['name']}-{at}-{writer}"}) is not None
                if job["flush"]:
                    await executions.flush()
            await session.commit()
        except LedgerBusy:
            busy += 1
            await session.rollback()
        else:
            return busy


_MOVES: dict[str, Callable[..., Awaitable[Any]]] = {
    each.__name__: each for each in (create, same_command, decide, first_write, several_ledgers)
}
_JOBS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {each.__name__: each for each in (updates, race)}


async def run(job: dict[str, Any]) -> None:
    """One job on an engine of its own."""
    engine: AsyncEngine = create_engine(job["url"])
    began = time.perf_counter()
    try:
        answer = await _JOBS[job["job"]](async_sessionmaker(engine, expire_on_commit=False), job)
    finally:
        await engine.dispose()
    say(answer=answer | {"seconds": time.perf_counter() - began})


if __name__ == "__main__":
    say(answer="ready")
    for line in sys.stdin:
        asyncio.run(run(json.loads(line)))
