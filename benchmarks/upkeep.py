"""What reads a whole ledger (rebuild, verify, export, replay) against SELECT of its events and COPY of its rows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import psutil
import psycopg
from psycopg import sql

from execution_ledger.infrastructure import create_engine, create_sync_engine
from execution_ledger.projections import Rebuild, export_to_file, play_ledger, verify

from .fill import Runs, fill
from .results import Measured, Result
from .rounds import Measure, take_turns
from .stores import POSTGRESQL, conninfo
from .world import World

RAW_COPY = "SELECT of the events, COPY of the rows"
BUILD = "rebuild: build"
VERIFY = "verify"
HASHES = "verify, with hashes"
EXPORT = "export to JSON Lines"
REPLAY = "replay, as fast as it can"
MEMORY = "peak memory of {what}, {events:,} events"

_LENGTH = 4
"""Events of a run."""
_FOLDED = sql.SQL("execution_id, version, type, schema_version, data, recorded_at")


async def run(world: World, measured: Measured) -> None:
    """On ledgers of two sizes."""
    for events in world.scale.upkeep_sizes:
        url = world.stores.create(POSTGRESQL)
        fill(url, [Runs(events // _LENGTH, _LENGTH)], world.console)
        case = {"store": POSTGRESQL, "events": events}
        memory: dict[str, float] = {}
        contenders = {
            RAW_COPY: _timed(events, partial(_select_and_copy, url)),
            BUILD: _timed(events, _watched(memory, BUILD, partial(_build, url))),
            VERIFY: _timed(events, _watched(memory, VERIFY, partial(_verify, url, hashes=False))),
            HASHES: _timed(events, _watched(memory, HASHES, partial(_verify, url, hashes=True))),
            EXPORT: _timed(events, _watched(memory, EXPORT, lambda url=url: asyncio.run(_export(url)))),
            REPLAY: _timed(events, _watched(memory, REPLAY, lambda url=url: asyncio.run(_replay(url)))),
        }
        measured.results += await take_turns(case, contenders, world.scale, world.console, "events/s")
        measured.results += [
            Result(MEMORY.format(what=name, events=events), {"store": POSTGRESQL}, [peak], "MiB")
            for name, peak in memory.items()
        ]
        world.stores.drop(url)


def _timed(events: int, work: Callable[[], object]) -> Measure:
    async def measure() -> float:
        begin = perf_counter()
        await asyncio.to_thread(work)
        return events / (perf_counter() - begin)

    return measure


def _watched(memory: dict[str, float], name: str, work: Callable[[], object]) -> Callable[[], object]:
    def watch() -> None:
        with _peak() as peak:
            work()
        memory[name] = max(peak[0], memory.get(name, 0))

    return watch


@contextmanager
def _peak() -> Iterator[list[float]]:
    """MiB above what there was before, at most; looked at a hundred times a second."""
    process, over, peak = psutil.Process(), threading.Event(), [0.0]
    before = process.memory_info().rss

    def look() -> None:
        while not over.wait(0.01):
            peak[0] = max(peak[0], (process.memory_info().rss - before) / 2**20)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield peak
    finally:
        over.set()
        looking.join()


def _select_and_copy(url: str) -> None:
    """All that no way of doing it can leave out: read the events, and write the rows with the same indexes."""
    with psycopg.connect(conninfo(url)) as connection:
        connection.execute("CREATE TEMP TABLE copied (LIKE execution_history INCLUDING ALL) ON COMMIT DROP")
        with connection.cursor(name="events") as events:
            events.itersize = 2_000
            events.execute(
                sql.SQL("SELECT {} FROM execution_events ORDER BY ledger_id, execution_id, version").format(_FOLDED)
            )
            for _ in events:
                pass
        rows = connection.execute("SELECT * FROM execution_history").fetchall()
        with connection.cursor() as cursor, cursor.copy("COPY copied FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.rollback()


def _build(url: str) -> None:
    engine = create_sync_engine(url)
    rebuild = Rebuild(engine)
    rebuild.build()
    rebuild.finish()
    engine.dispose()


def _verify(url: str, *, hashes: bool) -> None:
    engine = create_sync_engine(url)
    different = next(iter(verify(engine, hashes=hashes)), None)
    assert different is None, str(different)
    engine.dispose()


async def _export(url: str) -> None:
    engine = create_engine(url)
    with TemporaryDirectory() as folder:
        await export_to_file(engine, Path(folder) / "events.jsonl")
    await engine.dispose()


async def _replay(url: str) -> None:
    engine = create_engine(url)
    async for _ in play_ledger(engine, speed=None):
        pass
    await engine.dispose()
