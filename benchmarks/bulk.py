"""Bulk creation through the writer against COPY of ready-made rows into the same tables with the same indexes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from time import perf_counter
from typing import Any
from uuid import uuid4

import psycopg

from .contenders import make_text
from .copy_rows import copy_new
from .results import Measured
from .rounds import Measure, take_turns
from .scale import PAYLOADS
from .stores import POSTGRESQL, conninfo
from .world import World
from .writer import GroupWriter, create_many

BULK = "ledger: writer, bulk creation"
COPY_ROWS = "COPY of ready rows of Python values"
COPY_TEXT = "COPY of ready text"


async def run(world: World, measured: Measured) -> None:
    """Each contender fills a new ledger in each round, all of them in the same tables."""
    for payload in PAYLOADS:
        case = {"store": POSTGRESQL, "payload": payload, "executions": world.scale.bulk}
        url = world.stores.create(POSTGRESQL)
        async with GroupWriter(url) as writer:
            contenders = _contenders(url, writer, make_text(payload), world.scale.bulk)
            measured.results += await take_turns(case, contenders, world.scale, world.console, "executions/s")
        _check(url, len(contenders) * (world.scale.rounds + 1), world.scale.bulk)
        world.stores.drop(url)


def _contenders(url: str, writer: GroupWriter, text: Callable[[], str], number: int) -> dict[str, Measure]:
    ledgers = (f"bulk-{at}" for at in count(1))

    async def through_writer() -> float:
        data = list(_executions(number, text))
        begin = perf_counter()
        done = await create_many(writer, next(ledgers), data)
        return done / (perf_counter() - begin)

    def by_copy(as_text: bool) -> Measure:
        return lambda: asyncio.to_thread(copy_new, url, next(ledgers), _executions(number, text), as_text=as_text)

    return {BULK: through_writer, COPY_ROWS: by_copy(False), COPY_TEXT: by_copy(True)}


def _executions(number: int, text: Callable[[], str]) -> Iterator[dict[str, Any]]:
    for _ in range(number):
        yield {"job_id": str(uuid4()), "run_name": "nightly report", "inputs": {"config": text()}}


def _check(url: str, ledgers: int, each: int) -> None:
    """Nobody was quick by leaving something out."""
    with psycopg.connect(conninfo(url)) as connection:
        for table in ("execution_streams", "execution_events", "execution_history"):
            statement = f"SELECT count(DISTINCT ledger_id), count(*) FROM {table}"
            found = connection.execute(statement).fetchone()
            assert found == (ledgers, ledgers * each), (table, found)
        counted = connection.execute("SELECT sum(size), sum(last_id), sum(pending) FROM ledgers").fetchone()
        assert counted == (ledgers * each,) * 3, counted
