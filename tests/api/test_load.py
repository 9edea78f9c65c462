"""Many clients on a service of two processes, which nobody or somebody kills: nothing acknowledged is lost or doubled.

`make test` runs each for a few seconds, `make soak` for a minute and with 200 clients.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import func, select

from execution_ledger.api.client import AsyncLedgerClient
from execution_ledger.infrastructure import create_sync_engine, migrate
from execution_ledger.infrastructure.tables import execution_events
from execution_ledger.projections import verify
from support import Database
from support.postgres import start_server
from support.service_process import process

SECONDS = float(os.environ.get("EXECUTION_LEDGER_TEST_LOAD_SECONDS", "2"))
CLIENTS = int(os.environ.get("EXECUTION_LEDGER_TEST_LOAD_CLIENTS", "25"))
FOLLOWERS = 5

Command = Callable[..., Awaitable[Any]]


class Load:
    """Clients that write in every way there is. Each command has a marker, which its one event carries."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.statuses: Counter[int] = Counter()
        self.acknowledged: dict[str, int] = {}
        """Marker → position of its last event, as it was told."""
        self.sent = 0
        self.followed: list[list[int]] = [[] for _ in range(FOLLOWERS)]
        self._stopping = asyncio.Event()

    async def run(self, seconds: float, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """All of them, until the time is over; then the followers, until they have what there is."""
        followers = [asyncio.create_task(self._follow(seen)) for seen in self.followed]
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(number))
            group.create_task(self._end(seconds, meanwhile))
        async with self._connected() as client:
            size = (await client.summary()).size
        async with asyncio.timeout(60):
            while any(not seen or seen[-1] < size for seen in self.followed):
                await asyncio.sleep(0.05)
        for follower in followers:
            follower.cancel()
        await asyncio.wait(followers)
        assert self.followed == [list(range(1, size + 1))] * FOLLOWERS

    async def _end(self, seconds: float, meanwhile: Callable[[], Awaitable[None]]) -> None:
        ends = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < ends:
            await meanwhile()
        self._stopping.set()

    async def _follow(self, seen: list[int]) -> None:
        async with self._connected() as client:
            async for event in client.follow(0):
                seen.append(event.position)

    @asynccontextmanager
    async def _connected(self, **options: Any) -> AsyncIterator[AsyncLedgerClient]:
        async with AsyncLedgerClient(self.address, timeout=30, patience=120, **options) as client:

            async def count(response: httpx.Response) -> None:
                self.statuses[response.status_code] += 1

            client._http.event_hooks = {"response": [count]}
            yield client

    async def _client(self, number: int) -> None:
        chance = random.Random(number)
        async with self._connected(actor=f"client-{number}") as client:
            runs = 0
            while not self._stopping.is_set():
                await self._run(client, f"{number}-{runs}", chance)
                runs += 1

    async def _run(self, client: AsyncLedgerClient, job: str, chance: random.Random) -> None:
        """One execution from its beginning to its end, each command in turn; one in five is sent twice."""
        end = chance.choice(["completed", "failed", "cancelled"])
        commands: list[tuple[Command, tuple[Any, ...]]] = [
            (client.create_execution, ({"job_id": job, "run_name": "load"},)),
            (client.transition, (job, "started")),
            (client.start_step, (job, "s")),
            (client.add_note, (job, "x" * chance.randrange(1, 2_000))),
            (client.update_execution, (job, {"progress": chance.random(), "message": job})),
            (client.finish_step, (job, "s")),
            (client.transition, (job, "approval_requested")),
            (client.transition, (job, "approved")),
            (client.transition, (job, end, {"error": "e"} if end == "failed" else None)),
            (client.report_late_outcome, (job, "completed")),
            (client.correct_execution, (job, {"message": "corrected"})),
        ]
        if chance.random() < 0.2:
            commands.append((client.delete, (job,)))
        for at, (command, given) in enumerate(commands):
            marker = f"{job}-{at}"
            options = {"command_id": marker, "correlation_id": marker, "reason": "load"}
            self.sent += 1
            for _ in range(2 if chance.random() < 0.2 else 1):
                await command(*given, **options)
            self.acknowledged[marker] = client.position or 0
            await self._read(client, job, chance)

    async def _read(self, client: AsyncLedgerClient, job: str, chance: random.Random) -> None:
        match chance.randrange(12):
            case 0:
                await client.get_execution_history(10)
            case 1:
                await client.summary()
            case 2:
                await client.spans(job)
            case 3:
                await client.get_execution_by_job_id(job)

    def check(self, url: str) -> None:
        """Each marker has one event; what is derived agrees with the events."""
        engine = create_sync_engine(url)
        event = execution_events.c
        with engine.connect() as connection:
            counted = dict(
                connection.execute(select(event.correlation_id, func.count()).group_by(event.correlation_id)).all()
            )
            assert connection.execute(select(func.max(event.position) - func.count())).scalar() == 0
        assert counted == dict.fromkeys(self.acknowledged, 1)
        assert list(verify(engine)) == []
        engine.dispose()


def serve_and_load(
    url: str, log: Path, disturb: Callable[[psutil.Process], Awaitable[None]], seconds: float = SECONDS
) -> Load:
    """The load on a service of two processes that is disturbed again and again."""
    with process(url, EXECUTION_LEDGER_WORKERS="2", seconds=seconds + 300, log=log) as (started, address):
        load, supervisor = Load(address), psutil.Process(started.pid)
        asyncio.run(load.run(seconds, lambda: disturb(supervisor)))
        started.terminate()
        assert started.wait(60) == 0
    print(f"\n{load.sent} commands, answers: {dict(load.statuses)}")
    load.check(url)
    return load


async def leave_alone(_: psutil.Process) -> None:
    await asyncio.sleep(0.05)


async def strike_a_worker(supervisor: psutil.Process) -> None:
    """Kill one of its processes, or tell it to end, once both run."""
    await asyncio.sleep(random.uniform(0.5, 2))
    with suppress(psutil.NoSuchProcess):  # one of those that were struck before
        workers = [each for each in supervisor.children() if "spawn_main" in " ".join(each.cmdline())]
        if len(workers) == 2:
            random.choice(workers).send_signal(random.choice([signal.SIGKILL, signal.SIGTERM]))


def test_every_command_of_many_clients_is_recorded_once(database: Database, tmp_path: Path) -> None:
    load = serve_and_load(database.url, tmp_path / "log", leave_alone)
    assert not [status for status in load.statuses if status >= 500], (tmp_path / "log").read_text()[:5_000]


def test_workers_are_killed_under_load(database: Database, tmp_path: Path) -> None:
    serve_and_load(database.url, tmp_path / "log", strike_a_worker)


def test_the_database_is_killed_under_load(tmp_path: Path) -> None:
    server = start_server(fsync=True)

    async def strike_the_database(_: psutil.Process) -> None:
        await asyncio.sleep(random.uniform(0.5, 2))
        if random.random() < 0.5:
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(random.uniform(0, 1))
        await asyncio.to_thread(server.restart)  # in an orderly way, where it was not killed

    try:
        migrate(server.url)
        serve_and_load(server.url, tmp_path / "log", strike_the_database)
    finally:
        server.stop()
