"""A history of a million events is built anew under writes, with a reader that looks all the time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest
from rich.console import Console
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.fill import Runs, fill
from execution_ledger.infrastructure import GroupWriter
from execution_ledger.projections import Rebuild, verify
from support import Database
from support.writers import create, update

EVENTS = int(os.environ.get("EXECUTION_LEDGER_TEST_REBUILD_EVENTS", "1000000"))
_LENGTH = 4
_WRITERS = 8


@pytest.mark.soak
@pytest.mark.store("postgresql")
async def test_readers_see_all_of_the_old_rows_or_all_of_the_new_ones(
    database: Database, sync_engine: Engine, engine: AsyncEngine, record_property: Callable[[str, object], None]
) -> None:
    runs = EVENTS // _LENGTH
    fill(database.url, [Runs(runs, _LENGTH)], Console(quiet=True))
    with sync_engine.begin() as connection:
        connection.execute(text("UPDATE execution_history SET group_email = 'spoiled'"))
    over, seen, written, longest = asyncio.Event(), set[tuple[int, int]](), 0, 0.0
    count = text(
        "SELECT count(*), count(*) FILTER (WHERE group_email = 'spoiled') FROM execution_history "
        "WHERE ledger_id = 'default' AND id <= :runs"
    )

    async def read() -> None:
        while not over.is_set():
            async with engine.connect() as connection:
                rows, spoiled = (await connection.execute(count, {"runs": runs})).one()
            seen.add((rows, spoiled))

    async def write(writer: GroupWriter, who: int) -> None:
        nonlocal written, longest
        number = who
        while not over.is_set():
            begin = time.monotonic()
            await writer.execute(update(number % runs + 1, message=f"{number}"))
            longest = max(longest, time.monotonic() - begin)
            await writer.execute(create(f"new-{number}"))
            number, written = number + _WRITERS, written + 2

    rebuild = Rebuild(sync_engine)
    async with GroupWriter(database.url, patience=120) as writer:
        work = [asyncio.create_task(read()), *(asyncio.create_task(write(writer, who)) for who in range(_WRITERS))]
        begin = time.monotonic()
        await asyncio.to_thread(rebuild.build)
        built = time.monotonic() - begin
        report = await asyncio.to_thread(rebuild.report)
        begin = time.monotonic()
        await asyncio.to_thread(rebuild.swap)
        swapped = time.monotonic() - begin
        over.set()
        await asyncio.gather(*work)
        async with engine.connect() as connection:
            seen.add(tuple((await connection.execute(count, {"runs": runs})).one()))
    assert seen == {(runs, runs), (runs, 0)}
    (table,) = report.tables
    assert (table.missing, table.extra) == (0, 0)
    assert table.changed > 0.9 * runs, "those that were written to meanwhile are not compared"
    await asyncio.to_thread(rebuild.finish)
    assert await asyncio.to_thread(lambda: list(verify(sync_engine))) == []
    for name, value in (
        ("events/s", EVENTS / built),
        ("written meanwhile", written),
        ("swap, s", swapped),
        ("longest write, s", longest),
    ):
        record_property(name, round(value, 2))
        print(f"{name}: {value:,.2f}")
