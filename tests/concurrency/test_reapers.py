"""Eight reapers, 200 leases of workers that stall, sleep and die: no live run is ended, every dead one is, once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from concurrency.processes import Worker
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.infrastructure import ExecutionRepository, create_engine
from support import Database
from support.audit import audit, open_plainly
from support.suspending import suspend

REAPERS = 8
LEASES = 50
"""Of each of the four processes that work."""
TTL = 2.0
RENEWALS = 6
_PATIENCE = 120.0


@pytest.fixture
def processes() -> Iterator[list[Worker]]:
    """Four that work, then those that reap."""
    with ThreadPoolExecutor() as pool:  # they take a while to start
        started = list(pool.map(Worker, ["lease_worker.py"] * (4 + REAPERS)))
    yield started
    for process in started:
        if process.alive:
            process.kill()


def create(database: Database, job_ids: list[str]) -> None:
    async def main() -> None:
        engine = create_engine(database.url)
        async with AsyncSession(engine) as session:
            executions = ExecutionRepository(session, commit=False)
            for job_id in job_ids:
                await executions.create_execution({"job_id": job_id, "status": "running"})
            await session.commit()
        await engine.dispose()

    asyncio.run(main())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count_open(database: Database, name: str) -> int:
    engine = open_plainly(database.url)
    with engine.begin() as connection:
        statement = text("SELECT count(*) FROM execution_history WHERE status = 'running' AND job_id LIKE :jobs")
        found = connection.execute(statement, {"jobs": f"{name}-%"}).scalar_one()
    engine.dispose()
    return found


def has_all(process: Worker) -> bool:
    """Whether it has taken all its leases."""
    return len({job_id for job_id, _ in process.done}) == LEASES


def test_no_live_run_is_ended_and_every_dead_one_is_ended_once(processes: list[Worker], database: Database) -> None:
    stalling, mixed, suspended, killed = workers = processes[:4]
    reapers = processes[4:]
    how = {
        "stalling": ["works", "stalls"],
        "mixed": ["works", "stalls", "dies", "works", "dies"],
        "suspended": ["works"],
        "killed": ["works"],
    }
    jobs = {name: {f"{name}-{at}": each[at % len(each)] for at in range(LEASES)} for name, each in how.items()}
    create(database, [job_id for each in jobs.values() for job_id in each])
    for process, (name, mine) in zip(workers, jobs.items(), strict=True):
        process.start("hold", name=name, url=database.url, ttl=TTL, renewals=RENEWALS, jobs=mine)
    for at, reaper in enumerate(reapers):
        reaper.start("reap", name=f"reaper {at}", url=database.url)

    until(lambda: has_all(suspended))
    suspend(suspended.send_signal, database.url)
    until(lambda: has_all(killed))
    killed.kill()
    until(lambda: count_open(database, "suspended") == 0)
    suspended.send_signal(signal.SIGCONT)

    answers: dict[str, Any] = {}
    for process in (stalling, mixed, suspended):
        answers |= process.answer()
    reaped: list[dict[str, Any]] = [each for reaper in reapers for each in reaper.answer()["ended"]]
    check(database, {job: how for each in jobs.values() for job, how in each.items()}, workers, answers, reaped)


def check(
    database: Database,
    jobs: dict[str, str],
    workers: list[Worker],
    answers: dict[str, Any],
    reaped: list[dict[str, Any]],
) -> None:
    ledger = audit(database.url)["default"]
    of_job: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in ledger.events:
        of_job[ledger.streams[each["execution_id"]]["job_id"]].append(each)
    rows = {row["job_id"]: row for row in ledger.rows.values()}
    ended = [each for each in reaped if each["status"] is not None]
    failed = {job_id for job_id, row in rows.items() if row["status"] == "failed"}

    # Every run has ended, and each once: by its worker, or by one of the reapers.
    assert rows.keys() == jobs.keys()
    for job_id, events in of_job.items():
        names = Counter(each["type"].partition(".")[2] for each in events)
        assert names.pop("created") == 1
        assert names.pop("late_outcome", 0) <= 1
        assert names in ({"completed": 1}, {"failed": 1}), f"{job_id}: nothing else, renewals least of all"
    assert Counter(each["key"] for each in ended) == Counter(failed)
    for each in ended:
        (event,) = [event for event in of_job[each["key"]] if event["type"] == "execution.failed"]
        assert event["reason"] == "its lease expired"
        assert event["actor"].startswith("reaper ")
        assert f"The lease of {each['holder']} expired at" in event["payload"]["error"]

    # None was ended that was live: not before the last expiry that its worker was promised had passed …
    promises = [(job_id, datetime.fromisoformat(until)) for worker in workers for job_id, until in worker.done]
    promised = dict(sorted(promises, key=lambda promise: promise[1]))  # the last one of each
    for each in ended:
        assert promised[each["key"]] <= datetime.fromisoformat(each["expired_at"]) <= datetime.fromisoformat(each["at"])
    # … and by the worker's own clock not within the length of its lease.
    lost = {job_id: answer for job_id, answer in answers.items() if answer["became"] == "lost"}
    assert all(answer["after"] >= TTL for answer in lost.values())
    assert {job_id for job_id, answer in answers.items() if answer["became"] == "done"} == answers.keys() - failed

    # Every dead one was ended, and who came back too late lost nothing.
    assert {job_id for job_id, each in jobs.items() if each == "dies"} <= failed
    assert {job_id for job_id in jobs if job_id.startswith("suspended")} & failed
    assert {job_id for job_id in jobs if job_id.startswith("killed")} & failed
    assert lost.keys() == {job_id for job_id in answers if rows[job_id]["late_outcome"] is not None}
    for job_id in lost:
        assert rows[job_id]["late_outcome"]["result"] == {"did": job_id}
        assert (rows[job_id]["status"], rows[job_id]["late_outcome"]["status"]) == ("failed", "completed")
    print(f"\n{database.kind}: {len(failed)} of {len(jobs)} runs reaped, {len(lost)} late outcomes")
