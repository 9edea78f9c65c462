"""The service over HTTP: reads of a status, updates, and how fast an event reaches those who follow."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from time import perf_counter
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from execution_ledger.infrastructure import GroupWriter

from .contenders import make_text
from .http_load import Connection, Load, percentile
from .results import Measured, Result
from .rounds import take_turns
from .seed_repository import SeedBase, SeedRepository
from .stores import POSTGRESQL
from .world import World

LEDGER = "ledger: service"
BARE = "bare FastAPI route, psycopg"
CRUD = "FastAPI over the seed's CRUD"
READS, UPDATES = "reads of a status", "updates"
FAN_OUT = "p99 until an event has reached a subscriber"
P99 = ", p99"
MILLISECONDS = "ms"

_ROOT = Path(__file__).parents[1]
_READY = 30.0


async def run(world: World, measured: Measured) -> None:
    """Each server is a process of its own; the clients share the machine with them and with the database."""
    scale = world.scale
    url = world.stores.create(POSTGRESQL)
    jobs, rows = await _fill(url, scale.executions)
    ledger = [sys.executable, "-m", "execution_ledger.api.cli", "serve"]
    text = make_text("small")

    def body() -> bytes:
        return json.dumps({"message": text()}).encode()

    async with serving(ledger, url, "api/v1/ledger") as ours, _app("bare", url) as bare, _app("crud", url) as crud:
        case = {"store": POSTGRESQL, "clients": scale.most_clients, "what": READS}
        loads = {
            LEDGER: Load(ours, scale, lambda at: ("GET", f"/api/v1/executions/{jobs[at % len(jobs)]}", b"")),
            BARE: Load(bare, scale, lambda at: ("GET", f"/executions/{jobs[at % len(jobs)]}", b"")),
        }
        await _compete(case, loads, world, measured)
        case = {"store": POSTGRESQL, "clients": scale.most_clients, "what": UPDATES}
        loads = {
            LEDGER: Load(ours, scale, lambda at: ("PATCH", f"/api/v1/executions/{jobs[at % len(jobs)]}", body())),
            CRUD: Load(crud, scale, lambda at: ("PATCH", f"/executions/{rows[at % len(rows)]}", body())),
        }
        await _compete(case, loads, world, measured)
        rounds = [await _fan_out(ours, jobs, scale.subscribers, scale.fan_out_events) for _ in range(scale.rounds)]
        case = {"store": POSTGRESQL, "subscribers": scale.subscribers}
        measured.results.append(Result(FAN_OUT, case, rounds, MILLISECONDS))
        world.console.print(f"  {FAN_OUT}: {', '.join(f'{each:.1f}' for each in rounds)} ms")
    world.stores.drop(url)


async def _compete(case: dict[str, object], loads: dict[str, Load], world: World, measured: Measured) -> None:
    measures = {name: load.measure for name, load in loads.items()}
    measured.results += await take_turns(case, measures, world.scale, world.console, "requests/s")
    for name, load in loads.items():
        measured.results.append(Result(name + P99, case, load.p99[1:], MILLISECONDS))


async def _fan_out(address: str, jobs: list[str], subscribers: int, events: int) -> float:
    """Milliseconds from before a write is sent until 99 of 100 deliveries of its event were made."""
    sent: dict[int, float] = {}
    taken: list[float] = []
    arrivals: dict[int, list[float]] = {}
    begun = asyncio.Semaphore(0)
    connections = [await Connection.open(address) for _ in range(subscribers)]
    writer = await Connection.open(address)
    size = json.loads(await writer.request("GET", "/api/v1/ledger"))["size"]
    path = f"/api/v1/events/stream?after={size}"

    def arrived(position: int) -> None:
        arrivals.setdefault(position, []).append(perf_counter())

    following = [asyncio.create_task(each.events(path, begun.release, arrived)) for each in connections]
    for _ in connections:
        await begun.acquire()
    for number in range(events):
        sent[size + number + 1] = perf_counter()
        note = json.dumps({"text": f"event {number}"}).encode()
        await writer.request("POST", f"/api/v1/executions/{jobs[number % len(jobs)]}/notes", note)
        await asyncio.sleep(0.02)
    async with asyncio.timeout(30):
        while sum(map(len, arrivals.values())) < events * subscribers:
            await asyncio.sleep(0.01)
    for each in following:
        each.cancel()
    await asyncio.wait(following)
    for connection in (*connections, writer):
        connection.close()
    for position, times in arrivals.items():
        taken += [time - sent[position] for time in times]
    return percentile(taken, 0.99) * 1000


async def _fill(url: str, number: int) -> tuple[list[str], list[int]]:
    """As many executions in the ledger, by job id, and in the seed's table, by id."""
    jobs = [f"job-{at}" for at in range(number)]
    async with GroupWriter(url) as writer:
        await writer.create_many({"job_id": job, "status": "running", "inputs": {"a": 1}} for job in jobs)
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(SeedBase.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        seed = SeedRepository(session)
        rows = [(await seed.create_execution({"job_id": str(uuid4()), "inputs": {"a": 1}})).id for _ in jobs]
    await engine.dispose()
    return jobs, rows


def _app(name: str, url: str) -> AbstractAsyncContextManager[str]:
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.service_apps:{name}", "--factory", "--no-access-log"]
    return serving([*command, "--port", "{port}"], url, "openapi.json")


@asynccontextmanager
async def serving(command: list[str], url: str, path: str) -> AsyncIterator[str]:
    """A server in a process of its own, and its address once it answers."""
    port = _free_port()
    env = os.environ | {
        "BENCHMARK_DATABASE_URL": url,
        "EXECUTION_LEDGER_DATABASE_URL": url,
        "EXECUTION_LEDGER_PORT": str(port),
    }
    words = [word.format(port=port) for word in command]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, cwd=_ROOT, env=env, stdout=quiet, stderr=quiet) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            await _answering(address, path, process)
            yield address
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


async def _answering(address: str, path: str, process: subprocess.Popen[bytes]) -> None:
    ends = perf_counter() + _READY
    while True:
        try:
            connection = await Connection.open(address)
            await connection.request("GET", f"/{path}")
            return connection.close()
        except OSError:
            assert process.poll() is None, "the server ended"
            assert perf_counter() < ends, "the server does not answer"
            await asyncio.sleep(0.05)
