"""What updates executions, one update at a time for each client: baselines and the ledger's repository.

Each client has a connection of its own, where the contender works with connections, and goes on without a pause.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count, cycle
from time import perf_counter
from typing import Any, Protocol
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import ExecutionRepository, create_engine

from .scale import PAYLOADS, Scale
from .seed_repository import SeedBase, SeedRepository

CRUD = "CRUD as in the seed"
LIBRARY = "eventsourcing library, load-change-save"
RAW = "raw psycopg insert of one event"
REPOSITORY = "ledger: repository"
WITH_ID = ", with command ids"
WRITER = "ledger: writer"
THROUGH_WRITER = "ledger: repository through the writer"


def make_text(payload: str) -> Callable[[], str]:
    """Texts of a size, never the same one again; the large ones compress as prose does."""
    numbers = count()
    if payload == PAYLOADS[0]:
        return lambda: f"row {next(numbers)}"
    chance = random.Random(3)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(400)]
    texts = cycle([" ".join(chance.choices(words, k=600))[:2000] for _ in range(200)])
    return lambda: f"row {next(numbers):<44}{next(texts)}"


class Client(Protocol):
    """One caller."""

    async def create(self) -> Any:
        """Make an execution and answer what names it."""
        ...

    async def update(self, target: Any, text: str) -> Any:
        """Set its message."""
        ...


class Contender(Protocol):
    """One way to keep executions, opened for a number of clients."""

    def client(self) -> AbstractAsyncContextManager[Client]:
        """A further caller."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


async def measure(contender: Contender, clients: int, text: Callable[[], str], scale: Scale) -> float:
    """Updates per second of `clients` at once, on executions that they made before the clock was started."""
    start = asyncio.Barrier(clients)

    async def go(number: int) -> tuple[int, float, float]:
        async with contender.client() as client:
            mine = [await client.create() for _ in range(number, max(scale.executions, clients), clients)]
            targets, update, done = cycle(mine), client.update, 0
            await start.wait()
            begin = end = perf_counter()
            while end - begin < scale.seconds:
                await update(next(targets), text())
                done += 1
                end = perf_counter()
            return done, begin, end

    return rate(await asyncio.gather(*map(go, range(clients))))


def rate(went: list[tuple[int, float, float]]) -> float:
    """Updates per second, from each client's number of them, begin and end."""
    done, begins, ends = zip(*went, strict=True)
    return sum(done) / (max(ends) - min(begins))


class RepositoryContender:
    """A repository with the seed's calls, on a session for each client, which it holds for as long as it is there."""

    def __init__(
        self, engine: AsyncEngine, repository: Callable[[AsyncSession], Any], *, with_ids: bool = False
    ) -> None:
        self._engine, self._repository, self._with_ids = engine, repository, with_ids
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with self._sessions() as session:
            yield _RepositoryClient(self._repository(session), self._with_ids)

    async def close(self) -> None:
        await self._engine.dispose()


class _RepositoryClient:
    def __init__(self, repository: Any, with_ids: bool) -> None:
        self._repository, self._with_ids = repository, with_ids

    async def create(self) -> int:
        return (await self._repository.create_execution({"job_id": str(uuid4()), "inputs": {"a": 1}})).id

    async def update(self, target: int, text: str) -> None:
        if self._with_ids:
            await self._repository.update_execution(target, {"message": text}, command_id=str(uuid4()))
        else:
            await self._repository.update_execution(target, {"message": text})


async def open_seed(url: str, clients: int) -> RepositoryContender:
    """The CRUD repository; its table stands in the same database."""
    engine = create_engine(url, pool_size=clients)
    async with engine.begin() as connection:
        await connection.run_sync(SeedBase.metadata.create_all)
    return RepositoryContender(engine, SeedRepository)


async def open_ledger(url: str, clients: int, *, with_ids: bool = False) -> RepositoryContender:
    """The ledger's repository without the writer: each call commits on its own connection."""
    return RepositoryContender(create_engine(url, pool_size=clients), ExecutionRepository, with_ids=with_ids)
