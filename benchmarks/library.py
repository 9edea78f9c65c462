"""The `eventsourcing` library as its documentation has it: an application that loads, changes and saves an aggregate.

It is synchronous, so its clients are threads. It keeps events alone: no current states, no receipts, no hashes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from threading import Barrier
from time import perf_counter
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from sqlalchemy import make_url

from .contenders import rate
from .scale import Scale


class Run(Aggregate):
    """Like an execution: created once, changed by one kind of event."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.message = ""

    @event("Changed")
    def change(self, message: str) -> None:
        self.message = message


class Runs(Application[UUID]):
    """Its recorder's table is `runs_events`, in the same database as everybody's (on SQLite a file beside it)."""

    name = "runs"

    def create(self) -> UUID:
        run = Run(str(uuid4()))
        self.save(run)
        return run.id

    def update(self, run_id: UUID, message: str) -> None:
        run: Run = self.repository.get(run_id)
        run.change(message)
        self.save(run)


class LibraryContender:
    def __init__(self, url: str, clients: int) -> None:
        self._runs = Runs(env=_environment(url, clients))

    async def close(self) -> None:
        self._runs.close()

    async def measure(self, clients: int, text: Callable[[], str], scale: Scale) -> float:
        """As `contenders.measure` does, with a thread for each client."""
        return await asyncio.to_thread(self._measure, clients, text, scale)

    def _measure(self, clients: int, text: Callable[[], str], scale: Scale) -> float:
        start = Barrier(clients)

        def go(number: int) -> tuple[int, float, float]:
            mine = [self._runs.create() for _ in range(number, max(scale.executions, clients), clients)]
            targets, update, done = cycle(mine), self._runs.update, 0
            start.wait()
            begin = end = perf_counter()
            while end - begin < scale.seconds:
                update(next(targets), text())
                done += 1
                end = perf_counter()
            return done, begin, end

        with ThreadPoolExecutor(clients) as threads:
            return rate(list(threads.map(go, range(clients))))


def _environment(url: str, clients: int) -> dict[str, str]:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        # WAL is the library's own choice, synchronous=FULL is SQLite's; its pool of connections cannot be set.
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": f"{parsed.database}.library",
            "SQLITE_LOCK_TIMEOUT": "30",
        }
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parsed.database),
        "POSTGRES_HOST": str(parsed.host),
        "POSTGRES_PORT": str(parsed.port),
        "POSTGRES_USER": str(parsed.username),
        "POSTGRES_PASSWORD": str(parsed.password),
        "POSTGRES_POOL_SIZE": str(clients),
    }
