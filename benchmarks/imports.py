"""Imports of a CRUD table and of a backup against COPY of the rows that they end in, ready in files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory
from time import perf_counter

import psycopg
from psycopg import sql

from execution_ledger.infrastructure import compute_root, create_sync_engine
from execution_ledger.infrastructure.moving import ColumnMapping, CrudImport, CrudTable
from execution_ledger.projections import back_up_to_file, restore

from .fill import Runs, fill
from .results import Measured, Result
from .rounds import Measure, take_turns
from .stores import POSTGRESQL, conninfo
from .world import World

CRUD_ROWS = "rows of a CRUD table"
BACKUP_EVENTS = "events of a backup"
COPY_READY = "COPY of the rows from files"
IMPORTS = {CRUD_ROWS: "import crud", BACKUP_EVENTS: "import ledger"}
MEMORY = "peak memory of {what}, {number:,}"

_LENGTH = 4
"""Events of a run in the backup."""
_AT_ONCE = 1_000
"""Runs that went on side by side."""
_TABLES = ("ledgers", "execution_streams", "execution_events", "execution_history")
_BLOCK = 2**17
_CRUD = """
CREATE TABLE executionhistory (id serial PRIMARY KEY, job_id text UNIQUE, status text, inputs json, result json,
    error text, message text, run_name text, created_at timestamptz, completed_at timestamptz);
INSERT INTO executionhistory SELECT n, 'run-' || n, 'COMPLETED', '{"a": 1}', '{"rows": 3}', NULL, 'done',
    'nightly report', timestamptz '2026-01-01 00:00:00+00' + n * interval '1 s',
    timestamptz '2026-01-01 00:01:00+00' + n * interval '1 s' FROM generate_series(1, %s) n;
"""


async def run(world: World, measured: Measured) -> None:
    """Two sizes of each; the large one once, as it is about memory and takes minutes."""
    small, large = world.scale.import_sizes
    for number in (small, large):
        scale = world.scale if number == small else replace(world.scale, rounds=1)
        for what, prepare in ((CRUD_ROWS, _prepare_crud), (BACKUP_EVENTS, _prepare_backup)):
            source = world.stores.create(POSTGRESQL)
            memory: list[float] = []
            with TemporaryDirectory() as folder:
                work, copied = prepare(world, source, number, Path(folder))
                case = {"store": POSTGRESQL, "what": what, "number": number}
                contenders = {
                    IMPORTS[what]: _into_new(world, number, work, memory),
                    COPY_READY: _into_new(world, number, partial(_copy, copied)),
                }
                measured.results += await take_turns(case, contenders, scale, world.console, "/s")
            name = MEMORY.format(what=IMPORTS[what], number=number)
            measured.results.append(Result(name, {"store": POSTGRESQL}, [max(memory)], "MiB"))
            world.stores.drop(source)


Work = Callable[[str], object]
"""Fills a new database."""


def _prepare_crud(world: World, source: str, rows: int, folder: Path) -> tuple[Work, Path]:
    with psycopg.connect(conninfo(source), autocommit=True) as connection:
        for statement in _CRUD.replace("%s", str(rows)).split(";")[:-1]:
            connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE executionhistory")
    return partial(_import_crud, source), _dumped(world, folder, partial(_import_crud, source))


def _prepare_backup(world: World, source: str, events: int, folder: Path) -> tuple[Work, Path]:
    at_once = min(_AT_ONCE, events // _LENGTH)
    fill(source, [Runs(at_once, _LENGTH)] * (events // _LENGTH // at_once), world.console)
    engine = create_sync_engine(source)
    back_up_to_file(engine, folder / "ledger.gz")
    engine.dispose()
    work = partial(_restore, folder / "ledger.gz")
    return work, _dumped(world, folder, work)


def _dumped(world: World, folder: Path, work: Work) -> Path:
    """The rows that the work ends in, as COPY writes them."""
    url = world.stores.create(POSTGRESQL)
    work(url)
    with psycopg.connect(conninfo(url)) as connection:
        for table in _TABLES:
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with (folder / table).open("wb") as file, connection.cursor().copy(statement) as copy:
                for block in copy:
                    file.write(block)
    world.stores.drop(url)
    return folder


def _into_new(world: World, number: int, work: Work, memory: list[float] | None = None) -> Measure:
    async def measure() -> float:
        url = world.stores.create(POSTGRESQL)
        # In a process of its own, whose memory nobody has used before.
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            seconds, peak = await asyncio.wrap_future(process.submit(_measure, work, url))
        if memory is not None:
            memory.append(peak)
        world.stores.drop(url)
        return number / seconds

    return measure


def _measure(work: Work, url: str) -> tuple[float, float]:
    """Seconds, and MiB of this process at most."""
    begin = perf_counter()
    work(url)
    seconds = perf_counter() - begin
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, getrusage(RUSAGE_SELF).ru_maxrss * unit / 2**20


def _import_crud(source: str, url: str) -> None:
    engine = create_sync_engine(url)
    with CrudTable(source, "executionhistory") as table:
        report = CrudImport(engine, table, ColumnMapping(table.columns)).run()
    assert report.imported == report.rows > 0, report
    engine.dispose()


def _restore(file: Path, url: str) -> None:
    engine = create_sync_engine(url)
    restored = restore(engine, file)
    assert restored.loaded == restored.size > 0, restored
    with engine.connect() as connection:
        assert compute_root(connection, "default").root == restored.root
    engine.dispose()


def _copy(folder: Path, url: str) -> None:
    with psycopg.connect(conninfo(url)) as connection:
        for table in _TABLES:
            statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
            with (folder / table).open("rb") as file, connection.cursor().copy(statement) as copy:
                while block := file.read(_BLOCK):
                    copy.write(block)
        connection.commit()
