"""Workers that are killed at any moment: every event is projected, and none twice."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from subprocess import DEVNULL

from sqlalchemy import Engine, text

from execution_ledger.infrastructure import GroupWriter
from execution_ledger.projections import ProjectionControl, Projector
from support import Database, forked
from support.counting import counted, make_counting
from support.writers import create, note

SECONDS = float(os.environ.get("EXECUTION_LEDGER_TEST_KILL_SECONDS", "6"))
WORKERS = 4
WORKER = Path(__file__).with_name("worker.py")


async def test_four_workers_are_killed_and_restarted_under_load_and_nothing_is_applied_twice(
    database: Database, sync_engine: Engine
) -> None:
    projections = [make_counting(sync_engine), make_counting(sync_engine, "other", types=frozenset())]
    chance, over = random.Random(11), False
    ledgers = [f"ledger-{number}" for number in range(5)]
    written: dict[str, int] = {}

    async def write(writer: GroupWriter, ledger: str) -> None:
        await writer.execute(create("a", ledger=ledger))
        written[ledger] = 1
        while not over:
            await writer.execute(note("a", "n", ledger=ledger), row=False)
            written[ledger] += 1
            await asyncio.sleep(0.005)

    async def kill() -> int:
        """Once they do something, which takes them a while on a machine that is busy."""
        nonlocal over
        killed = 0
        workers = [_start(database.url) for _ in range(WORKERS)]
        try:
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(progress):
                    await asyncio.sleep(0.1)
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                at = chance.randrange(WORKERS)
                workers[at].kill()
                workers[at].wait()
                workers[at], killed = _start(database.url), killed + 1
        finally:
            over = True
            for worker in workers:
                worker.kill()
                worker.wait()
        return killed

    def progress() -> int:
        with sync_engine.connect() as connection:
            return connection.execute(text("SELECT sum(position) FROM projection_checkpoints")).scalar() or 0

    async with GroupWriter(database.url) as writer:
        killed, *_ = await asyncio.gather(kill(), *(write(writer, ledger) for ledger in ledgers))
    assert killed >= 3
    await Projector(sync_engine, projections).catch_up()
    assert {ledger: counted(sync_engine, ledger)["a"] for ledger in ledgers} == written
    assert {each.lag for each in ProjectionControl(sync_engine, projections).statuses()} == {0}


def _start(url: str) -> forked.Process:
    return forked.start([url], script=WORKER, stdout=DEVNULL, stderr=2)
