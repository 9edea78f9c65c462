"""A projection is built anew beside the live one and swapped in; nobody ever sees a part of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from execution_ledger.domain import InvalidInput, RebuildRefused
from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository, GroupWriter
from execution_ledger.projections import (
    ProjectionControl,
    Projector,
    Rebuild,
    RebuildProgress,
    RunStatistics,
    TimeMarks,
    verify,
)
from execution_ledger.projections.upkeep import rebuild_state
from execution_ledger.projections.upkeep.rebuild_history import HistoryTarget
from support import Database, forked
from support.counting import counted, make_counting
from support.projecting import projected
from support.stories import write_stories
from support.writers import create, note, update

TIMEOUT = 60.0
REBUILDER = Path(__file__).with_name("rebuilder.py")


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[GroupWriter]:
    async with GroupWriter(database.url) as writer:
        await write_stories(writer)
        yield writer


def history(engine: Engine, ledger: str = "default") -> list[dict[str, Any]]:
    table: Any = ExecutionHistory.__table__
    with engine.connect() as connection:
        rows = connection.execute(select(table).where(table.c.ledger_id == ledger).order_by(table.c.id))
        return [dict(row) for row in rows.mappings()]


def change(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            assert connection.execute(text(statement)).rowcount, statement


SPOIL = (
    "UPDATE execution_history SET message = 'spoiled', progress = 0.9 WHERE id IN (2, 9)",
    "DELETE FROM execution_history WHERE id IN (1, 3)",
    "UPDATE execution_history SET id = 700, job_id = 'nobody' WHERE id = 6",
)


async def test_what_is_spoiled_is_reported_and_replaced(writer: GroupWriter, sync_engine: Engine) -> None:
    before = history(sync_engine)
    change(sync_engine, *SPOIL)
    seen: list[RebuildProgress] = []
    rebuild = Rebuild(sync_engine)
    rebuild.build(seen.append)
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (30, 30, "executions")
    report = rebuild.report()
    (table,) = report.tables
    assert (table.missing, table.extra, table.changed, report.differences) == (3, 1, 2, 6)
    assert {row["id"] for row in table.samples["missing"]} == {1, 3, 6}
    assert table.samples["extra"] == [{"id": 700}]
    assert history(sync_engine) != before, "nothing is changed yet"
    rebuild.swap()
    assert history(sync_engine) == before
    rebuild.finish()
    assert list(verify(sync_engine)) == []
    with sync_engine.connect() as connection:
        names = connection.execute(text("SELECT DISTINCT ledger_id FROM execution_history")).scalars().all()
        assert names == ["default"], "nothing is left beside"
        assert connection.execute(text("SELECT count(*) FROM projection_rebuilds")).scalar() == 0


async def test_a_swap_is_rolled_back_but_for_what_has_gone_on_since(writer: GroupWriter, sync_engine: Engine) -> None:
    change(sync_engine, *SPOIL)
    spoiled = history(sync_engine)
    rebuild = Rebuild(sync_engine)
    rebuild.build()
    rebuild.swap()
    assert rebuild.roll_back() == 0
    assert history(sync_engine) == spoiled

    rebuild.build()
    rebuild.swap()
    await writer.execute(note("job-1", "since then"))  # id 2
    assert rebuild.roll_back() == 1
    rows = {row["id"]: row for row in history(sync_engine)}
    assert rows[2]["message"] == "m"
    assert rows[9]["message"] == "spoiled"
    assert 1 not in rows
    assert 700 in rows


async def test_steps_out_of_turn_are_refused(writer: GroupWriter, sync_engine: Engine) -> None:
    rebuild = Rebuild(sync_engine)
    for step in (rebuild.report, rebuild.swap, rebuild.roll_back):
        with pytest.raises(RebuildRefused, match=r"is not (under way|swapped in)"):
            step()
    rebuild.build()
    with pytest.raises(RebuildRefused, match="is not swapped in"):
        rebuild.roll_back()
    with pytest.raises(RebuildRefused, match="under way in another process"):
        Rebuild(sync_engine).build()
    rebuild.swap()
    for step in (rebuild.build, rebuild.report, rebuild.swap):
        with pytest.raises(RebuildRefused, match="is swapped in already"):
            step()
    rebuild.finish()
    with pytest.raises(InvalidInput, match="reserved"):
        Rebuild(sync_engine, "\x1fbuilt\x1fdefault")


async def test_readers_and_writers_go_on_and_nobody_sees_a_part(
    writer: GroupWriter, sync_engine: Engine, engine: AsyncEngine
) -> None:
    """Every row is spoiled; a reader sees all of them spoiled, or none."""
    change(sync_engine, "UPDATE execution_history SET group_email = 'spoiled'")
    over, seen = asyncio.Event(), set[tuple[bool, ...]]()
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def read() -> None:
        while not over.is_set():
            async with sessions() as session:
                page, _ = await ExecutionRepository(session).get_execution_history(limit=1000)
                old = [row for row in page if row.job_id.startswith("job-")]
                assert len(old) == 26
                seen.add(tuple({row.group_email == "spoiled" for row in old}))
            await asyncio.sleep(0.001)

    async def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            await writer.execute(update("job-1", message=f"{number}"))
            await writer.execute(create(f"new-{number}"))

    work = [asyncio.create_task(read()), asyncio.create_task(write())]
    rebuild = Rebuild(sync_engine)
    await asyncio.sleep(0.1)
    await asyncio.to_thread(rebuild.build)
    report = await asyncio.to_thread(rebuild.report)
    assert (report.tables[0].missing, report.tables[0].extra) == (0, 0)
    assert 25 <= report.tables[0].changed <= 26, "but for the one that is written to all the time"
    await asyncio.to_thread(rebuild.swap)
    await asyncio.sleep(0.1)
    over.set()
    await asyncio.gather(*work)
    assert seen == {(True,), (False,)}
    await asyncio.to_thread(rebuild.finish)
    assert list(verify(sync_engine)) == []


@pytest.mark.store("postgresql")
@pytest.mark.parametrize("spoil", ["UPDATE execution_history SET message = 'spoiled'", "DELETE FROM execution_history"])
async def test_a_write_that_waits_for_the_swap_is_not_lost(
    writer: GroupWriter, sync_engine: Engine, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    change(sync_engine, f"{spoil} WHERE job_id = 'job-1'")
    rebuild = Rebuild(sync_engine)
    rebuild.build()
    lock, waiting = HistoryTarget._lock_head, list[Any]()

    def lock_and_let_wait(target: HistoryTarget, connection: Any) -> int:
        size = lock(target, connection)
        waiting.append(writer.submit(update("job-1", message="meanwhile")))
        time.sleep(0.15)  # its statement has begun, and waits for the head
        return size

    monkeypatch.setattr(HistoryTarget, "_lock_head", lock_and_let_wait)
    await asyncio.to_thread(rebuild.swap)
    assert (await asyncio.wrap_future(waiting[0])).version
    await asyncio.to_thread(rebuild.finish)
    assert list(verify(sync_engine)) == []
    (row,) = (row for row in history(sync_engine) if row["job_id"] == "job-1")
    assert row["message"] == "meanwhile"


async def test_a_rebuild_that_is_killed_is_gone_on_with(
    writer: GroupWriter, sync_engine: Engine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await writer.create_many({"job_id": f"more-{at}"} for at in range(3000))
    before = history(sync_engine)
    change(sync_engine, "DELETE FROM execution_history WHERE id > 100")
    rebuilder = forked.start([database.url], script=REBUILDER, stderr=2)
    assert rebuilder.stdout is not None
    done = int(await asyncio.to_thread(rebuilder.stdout.readline))
    rebuilder.kill()
    rebuilder.communicate()
    monkeypatch.setattr(rebuild_state, "STALE", rebuild_state.STALE * 0)
    rebuild, seen = Rebuild(sync_engine), list[int]()
    rebuild.build(lambda progress: seen.append(progress.done))
    assert seen[0] > done
    rebuild.swap()
    rebuild.finish()
    assert history(sync_engine) == before


@pytest.mark.parametrize("kind", ["statistics", "marks"])
async def test_a_projection_that_follows_is_rebuilt_as_it_was(
    writer: GroupWriter, sync_engine: Engine, kind: str
) -> None:
    projection: Any = RunStatistics() if kind == "statistics" else TimeMarks()
    if kind == "marks":
        await writer.create_many({"job_id": f"more-{at}"} for at in range(2100))
    projector = Projector(sync_engine, [projection])
    await projector.catch_up()
    before = projected(sync_engine, projection, "default")
    assert all(before.values())
    spoil = "UPDATE run_statistics SET runs = runs + 1" if kind == "statistics" else (
        "UPDATE execution_time_marks SET recorded_latest = recorded_earliest"
    )  # fmt: skip
    change(sync_engine, spoil)
    rebuild = Rebuild(sync_engine, projection=projection)
    rebuild.build()
    report = rebuild.report()
    assert sum(table.changed for table in report.tables) == report.differences > 0
    rebuild.swap()
    assert projected(sync_engine, projection, "default") == before
    await writer.execute(create("after", status="completed"))
    await projector.catch_up()
    rebuild.finish()
    again = Rebuild(sync_engine, projection=projection)
    again.build()
    assert again.report().differences == 0, "live is as rebuilt"
    again.finish()


async def test_a_rebuild_gets_over_what_had_stopped_and_can_be_rolled_back(
    writer: GroupWriter, sync_engine: Engine
) -> None:
    projection = make_counting(sync_engine)
    projection.poison.add("job-2")
    control = ProjectionControl(sync_engine, [projection])
    await Projector(sync_engine, [projection]).catch_up()
    (stopped,) = control.statuses()
    assert stopped.stopped
    before = counted(sync_engine)
    projection.poison.clear()
    rebuild = Rebuild(sync_engine, projection=projection)
    rebuild.build()
    rebuild.swap()
    (status,) = control.statuses()
    assert (status.lag, status.stopped) == (0, False)
    assert sum(counted(sync_engine).values()) == status.size
    rebuild.roll_back()
    assert counted(sync_engine) == before
    assert control.statuses()[0].position == stopped.position
    await Projector(sync_engine, [projection]).catch_up()
    assert sum(counted(sync_engine).values()) == status.size


async def test_random_histories_are_rebuilt_as_they_are(database: Database, sync_engine: Engine) -> None:
    chance = random.Random(19)
    async with GroupWriter(database.url) as writer:
        for at in range(6):
            await write_stories(writer, runs=chance.randrange(1, 40), ledger=f"ledger-{at}")
    for at in range(6):
        ledger = f"ledger-{at}"
        assert list(verify(sync_engine, ledger)) == []
        before = history(sync_engine, ledger)
        with sync_engine.begin() as connection:
            connection.execute(text("DELETE FROM execution_history WHERE ledger_id = :ledger"), {"ledger": ledger})
        rebuild = Rebuild(sync_engine, ledger)
        rebuild.build()
        rebuild.swap()
        rebuild.finish()
        assert history(sync_engine, ledger) == before
