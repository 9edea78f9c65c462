"""Two processes full of writers: jobs and races for them, and what a test needs to prepare and to watch those."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from concurrency.processes import Worker
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import ExecutionRepository, create_engine
from support import Database
from support.audit import Ledger, open_plainly

PROCESSES = 2
WRITERS = 8
"""In each process."""


def run(workers: list[Worker], job: str, database: Database, **details: Any) -> list[Any]:
    """Let every process do the job at the same time; their answers."""
    for name, worker in enumerate(workers):
        worker.start(job, **{"name": f"p{name}", "url": database.url, "writers": WRITERS} | details)
    return [worker.answer() for worker in workers]


def race(workers: list[Worker], move: str, database: Database, rounds: int, **details: Any) -> list[list[str]]:
    """Let all writers make the same move `rounds` times; what became of it, by round."""
    answers = run(workers, "race", database, move=move, rounds=rounds, **details)
    return [[each for answer in answers for each in answer["answers"][at]] for at in range(rounds)]


def prepare(database: Database, count: int, ledger: str = "default", **fields: Any) -> list[int]:
    """Create executions, and answer their ids."""

    async def create(session: AsyncSession) -> list[int]:
        executions = ExecutionRepository(session, commit=False, ledger=ledger)
        rows = [await executions.create_execution({"status": "running"} | fields) for _ in range(count)]
        await session.commit()
        return [row.id for row in rows]

    return in_session(database, create)


def in_session(database: Database, work: Callable[[AsyncSession], Any]) -> Any:
    async def main() -> Any:
        engine = create_engine(database.url)
        try:
            async with async_sessionmaker(engine, expire_on_commit=False)() as session:
                return await work(session)
        finally:
            await engine.dispose()

    return asyncio.run(main())


class Tail:
    """Reads the ledger by position on a connection of its own, while others write."""

    def __init__(self, url: str) -> None:
        self.seen: list[tuple[int, str]] = []
        """Position and leaf hash."""
        self.polls = 0
        self._url = url
        self._last = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Tail:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._last.set()
        self._thread.join()

    def _follow(self) -> None:
        statement = text(
            "SELECT position, leaf_hash FROM execution_events "
            "WHERE ledger_id = 'default' AND position > :last ORDER BY position LIMIT 100"
        )
        engine = open_plainly(self._url)
        more = True
        while more:
            more = not self._last.is_set()  # one more poll after the writers have ended
            while True:
                with engine.begin() as connection:
                    last = self.seen[-1][0] if self.seen else 0
                    rows = connection.execute(statement, {"last": last}).all()
                self.polls += 1
                self.seen += [(row.position, bytes(row.leaf_hash).hex()) for row in rows]
                if not rows:
                    break
            self._last.wait(0.002)
        engine.dispose()


def messages(ledger: Ledger) -> Counter[str]:
    """How often each message was recorded."""
    return Counter(each["payload"]["message"] for each in ledger.events if each["type"] == "execution.details_changed")
