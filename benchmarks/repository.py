"""`make bench`: updates per second through the repository, against the seed's CRUD repository in the same run.

Rounds of both are interleaved, every round is printed, medians are compared. PostgreSQL runs with fsync on, SQLite with
`synchronous=FULL`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from benchmarks.seed_repository import SeedBase, SeedRepository
from execution_ledger.infrastructure import ExecutionRepository, create_engine, migrate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the tests know how to start a PostgreSQL
from support.postgres import start_server

Repository = Callable[[AsyncSession], Any]
CONTENDERS: dict[str, Repository] = {"CRUD as in the seed": SeedRepository, "ledger": ExecutionRepository}


async def _client(sessions: async_sessionmaker[AsyncSession], repository: Repository, updates: int) -> None:
    async with sessions() as session:
        contender = repository(session)
        execution = await contender.create_execution({"job_id": str(uuid4()), "inputs": {"a": 1}})
        for number in range(updates):
            await contender.update_execution(execution.id, {"message": f"row {number}"})


async def _rate(
    sessions: async_sessionmaker[AsyncSession], repository: Repository, clients: int, updates: int
) -> float:
    """Updates per second of `clients` on separate connections and executions."""
    begin = time.perf_counter()
    await asyncio.gather(*(_client(sessions, repository, updates) for _ in range(clients)))
    return clients * updates / (time.perf_counter() - begin)


async def _measure(store: str, url: str, clients: int, rounds: int, updates: int, console: Console) -> list[str]:
    engine = create_engine(url, pool_size=clients)
    async with engine.begin() as connection:
        await connection.run_sync(SeedBase.metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(rounds + 1):
        for name, repository in CONTENDERS.items():
            rate = await _rate(sessions, repository, clients, max(1, updates // clients))
            if number:  # the first one warms up
                rates[name].append(rate)
                console.print(f"{store}, {clients} clients, round {number}: {name} {rate:,.0f}/s", style="dim")
    await engine.dispose()
    crud, ledger = (median(rates[name]) for name in CONTENDERS)
    return [store, str(clients), f"{crud:,.0f}", f"{ledger:,.0f}", f"{ledger / crud:.2f} x"]


async def _run(rounds: int, updates: int) -> None:
    console = Console()
    table = Table(title=f"Updates per second, median of {rounds} rounds")
    for heading in ("store", "clients", *CONTENDERS, "ratio"):
        table.add_column(heading, justify="left" if heading == "store" else "right")
    server = start_server(fsync=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for store, url in (("PostgreSQL", server.create_database()), ("SQLite", f"sqlite:///{folder}/ledger.db")):
                migrate(url)
                for clients in (1, 8):
                    table.add_row(*await _measure(store, url, clients, rounds, updates, console))
    finally:
        server.stop()
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=800, help="updates of each round, over all clients")
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.rounds, arguments.updates))
