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

from execution_ledger.domain import Context, LedgerBusy, LedgerError, Update
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Outcome, Request, create_engine

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


async def grouped(sessions: Sessions, job: dict[str, Any]) -> dict[str, Any]:
    """The same through a `GroupWriter`: alone and together, now and then several calls at once, or from a thread."""
    errors: Counter[str] = Counter()
    waits: list[float] = []
    async with GroupWriter(job["url"], patience=60) as writer:

        async def write(at: int) -> None:
            chance = random.Random(f"{job['name']}-{at}")
            targets = [*job["shared"], *job["keys"], *job["separate"][at]]
            done = 0
            while done < job["count"]:
                sizes = [chance.choice([1, 1, 2, 4]) for _ in range(chance.choice([1, 1, 3]))]
                markers = [
                    [f"{job['name']}-{at}-{done + sum(sizes[:n]) + m}" for m in range(sizes[n])]
                    for n in range(len(sizes))
                ]
                began = time.perf_counter()
                await asyncio.gather(*(send(chance, targets, each) for each in markers))
                waits.append(time.perf_counter() - began)
                done += sum(sizes)

        async def send(chance: random.Random, targets: list[int | str], markers: list[str]) -> None:
            requests = [
                Request(
                    "default",
                    chance.choice(targets),
                    Update.of({"message": marker}),
                    Context(actor=job["name"], correlation_id=markers[0]),
                    command_id=marker if chance.random() < 0.3 else None,
                )
                for marker in markers
            ]
            if len(requests) == 1 and chance.random() < 0.2:
                answers = [await asyncio.wrap_future(await asyncio.to_thread(writer.submit, requests[0]))]
            else:
                answers = await writer.execute_together(requests, rows=chance.random() < 0.5)
            for answer in answers:
                assert isinstance(answer, Outcome), answer
                assert (answer.event_count, answer.replayed) == (1, False)
            say(done=markers)

        async with asyncio.TaskGroup() as group:
            for at in range(job["writers"]):
                group.create_task(write(at))
    return {"errors": errors, "slowest": max(waits)}


async def race(sessions: Sessions, job: dict[str, Any]) -> dict[str, Any]:
    """Every writer makes the same moves, a round at a time; the answer says what became of each."""
    move = _MOVES[job["move"]]
    answers: list[list[str]] = []
    grouped = job["name"] in job.get("grouped", ())
    async with GroupWriter(job["url"], patience=60) as writer:
        job["writer"] = writer if grouped else None
        for at in range(job["rounds"]):
            outcomes = await asyncio.gather(
                *(_outcome(move, sessions, job, at, writer) for writer in range(job["writers"]))
            )
            answers.append(outcomes)
    return {"answers": answers}


def repository(session: AsyncSession, job: dict[str, Any], commit: bool, **options: Any) -> ExecutionRepository:
    """One that commits or gathers; or one that writes through the process's writer, where it has one."""
    way = {"commit": commit} if job["writer"] is None else {"writer": job["writer"]}
    return ExecutionRepository(session, **way, **options)


async def _outcome(move: Any, sessions: Sessions, job: dict[str, Any], at: int, writer: int) -> str:
    try:
        async with sessions() as session:
            return str(await move(session, job, at, writer))
    except LedgerError as error:
        return type(error).__name__


async def create(session: AsyncSession, job: dict[str, Any], at: int, writer: int) -> Any:
    """Create the round's one job."""
    executions = repository(session, job, bool(writer % 2), actor=f"{job['name']}-{writer}")
    row = await executions.create_execution({"job_id": f"job-{at}", "message": f"{job['name']}-{writer}"})
    await session.commit()
    return f"created {row.id}"


async def same_command(session: AsyncSession, job: dict[str, Any], at: int, writer: int) -> Any:
    """Send the round's one command."""
    executions = repository(session, job, bool(writer % 2))
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
    executions = repository(session, job, writer % 4 < 2)
    event = job["events"][writer % len(job["events"])]
    row = await executions.transition(job["ids"][at], event)
    assert row is not None
    await session.commit()
    return row.status


async def first_write(session: AsyncSession, job: dict[str, Any], at: int, writer: int) -> Any:
    """Write to a ledger that nobody wrote to yet."""
    executions = repository(session, job, bool(writer % 2), ledger=f"ledger-{at}")
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
_JOBS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {each.__name__: each for each in (updates, grouped, race)}


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
