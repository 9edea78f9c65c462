"""`python -m benchmarks.run_statistics`: what the run statistics of a million runs take, on PostgreSQL.

500 run names over 30 days, three events a run (created, started, completed or failed), some names far busier than
others. Not part of `make bench`: its numbers stand in decision 13.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker

from execution_ledger.infrastructure import create_engine, create_sync_engine
from execution_ledger.projections import RecordedEvent, RunStatistics, StatisticsQueries

from .stores import POSTGRESQL, SQLITE, start_stores

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES, DAYS, BATCH = 500, 30, 1_000
TABLES = ("run_facts", "run_statistics")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    options = parser.parse_args()
    with start_stores(fsync=True) as stores:
        for store, singly in ((POSTGRESQL, 3_000), (SQLITE, 3_000)):
            url = stores.create(store)
            engine = create_sync_engine(url)
            rate = _apply(engine, islice(events(options.runs), singly), 1)
            print(f"{store}: {rate:,.0f} events/s by one event at a time, a hundred in a transaction")
            stores.drop(url) if store == SQLITE else engine.dispose()
            url = stores.create(store)
            engine = create_sync_engine(url)
            rate = _apply(engine, events(options.runs if store == POSTGRESQL else options.runs // 10), BATCH)
            print(f"{store}: {rate:,.0f} events/s by batches of {BATCH:,}, each a transaction")
            if store == POSTGRESQL:
                _sizes(engine)
                asyncio.run(_queries(url))
            engine.dispose()


def events(runs: int) -> Iterator[RecordedEvent]:
    """The events of so many runs, in the order in which they happened."""
    chance = random.Random(13)
    busyness = [1 / (n + 10) for n in range(NAMES)]
    waiting: list[Any] = []
    number = 0
    gap = timedelta(days=DAYS) / runs

    def told(at: datetime, run: int, name: str, data: dict[str, Any]) -> RecordedEvent:
        nonlocal number
        number += 1
        return RecordedEvent(
            ledger_id="default",
            position=number,
            job_id=f"{UUID(int=run)}",
            execution_id=UUID(int=run * 0x9E3779B97F4A7C15 % 2**128),
            version=1,
            type=f"execution.{name}",
            schema_version=1,
            data=data,
            recorded_at=at,
            occurred_at=None,
            actor=None,
            reason=None,
            correlation_id=None,
            causation_id=None,
            trace_id=None,
            command_id=None,
        )

    for run in range(1, runs + 1):
        created = START + run * gap
        while waiting and waiting[0][0] <= created:
            yield told(*heapq.heappop(waiting))
        kind = chance.choices(range(NAMES), busyness)[0]
        started = created + timedelta(seconds=chance.lognormvariate(0, 1))
        ended = started + timedelta(seconds=chance.lognormvariate(kind % 7, 0.7))
        heapq.heappush(waiting, (started, run, "started", {"status": "running", "started_at": _iso(started)}))
        failed = chance.random() < 0.08
        error = {"error": f"worker {run} lost its connection to 10.0.0.{run % 250}, code {run % 12}"} if failed else {}
        name = "failed" if failed else "completed"
        heapq.heappush(waiting, (ended, run, name, {"status": name, "completed_at": _iso(ended), **error}))
        yield told(
            created,
            run,
            "created",
            {
                "job_id": f"{UUID(int=run)}",
                "status": "pending",
                "attempt": 2 if chance.random() < 0.05 else 1,
                "run_name": f"nightly-report-{kind}",
                "execution_type": ("flow", "crew")[kind % 2],
                "created_at": _iso(created),
            },
        )
    while waiting:
        yield told(*heapq.heappop(waiting))


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _apply(engine: Engine, stream: Iterable[RecordedEvent], batch: int) -> float:
    projection = RunStatistics()
    stream = iter(stream)
    applied, spent = 0, 0.0
    while chunk := list(islice(stream, max(batch, 100))):
        began = time.perf_counter()
        with engine.begin() as connection:
            for at in range(0, len(chunk), batch):
                for statement in projection.batch(chunk[at : at + batch]):
                    connection.execute(statement)
        spent += time.perf_counter() - began
        applied += len(chunk)
    return applied / spent


def _sizes(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
        for table in TABLES:
            rows = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
            sizes = text(f"SELECT pg_table_size('{table}'), pg_indexes_size('{table}')")
            heap, indexes = connection.execute(sizes).one()
            print(f"{table}: {rows:,} rows, {heap / 2**20:,.0f} MB and {indexes / 2**20:,.0f} MB of indexes")
        cells = text("SELECT avg(length(durations)), max(length(durations)), avg(runs), max(runs) FROM run_statistics")
        print("sketch of durations, bytes (mean, most) and runs of a cell:", *connection.execute(cells).one())
        for row in connection.execute(
            text("SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind = 'i' AND relname LIKE 'run_%'")
        ):
            print(f"  {row[0]}: {row[1] / 2**20:,.0f} MB")


async def _queries(url: str) -> None:
    engine = create_engine(url)
    month = (START, START + timedelta(days=DAYS + 1))
    day = (START + timedelta(days=10), START + timedelta(days=11))
    async with async_sessionmaker(engine)() as session:
        ask = StatisticsQueries(session)
        questions: dict[str, Callable[[], Awaitable[object]]] = {
            "30 days": lambda: ask.statistics(*month),
            "30 days by day": lambda: ask.statistics(*month, by="day"),
            "30 days by run name, first 100": lambda: ask.statistics(*month, by="run_name"),
            "30 days of one run name by day": lambda: ask.statistics(*month, by="day", run_name="nightly-report-7"),
            "a day": lambda: ask.statistics(*day),
            "a day by hour": lambda: ask.statistics(*day, by="hour"),
            "30 days, failure reasons": lambda: ask.failure_reasons(*month),
            "30 days, most failing names": lambda: ask.most_failing(*month),
            "30 days, longest runs": lambda: ask.longest_runs(*month),
            "30 days, most retried runs": lambda: ask.most_retried(*month),
            "a day, longest runs": lambda: ask.longest_runs(*day),
        }
        for name, question in questions.items():
            times = []
            for _ in range(5):
                began = time.perf_counter()
                await question()
                times.append(time.perf_counter() - began)
            print(f"{name}: {1000 * sorted(times)[2]:,.0f} ms")
    await engine.dispose()


if __name__ == "__main__":
    main()
