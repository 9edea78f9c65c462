"""Verification finds each thing that is not as the events say, and nothing else; a repair mends it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine, text

from execution_ledger.domain import UnknownExecution
from execution_ledger.infrastructure import GroupWriter
from execution_ledger.projections import BackgroundAuditor, Difference, repair_execution, repair_head, verify
from support import Database
from support.stories import write_stories
from support.writers import create, note, update


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[GroupWriter]:
    async with GroupWriter(database.url) as writer:
        await write_stories(writer)
        yield writer


def sabotage(engine: Engine, *statements: str) -> None:
    """Change what should not be changed, past the triggers."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE execution_events DISABLE TRIGGER USER"))
        else:
            for trigger in ("no_update", "no_delete", "no_replace"):
                connection.execute(text(f"DROP TRIGGER execution_events_{trigger}"))
        for statement in statements:
            assert connection.execute(text(statement)).rowcount, statement


async def test_a_ledger_in_order_has_no_differences(writer: GroupWriter, sync_engine: Engine) -> None:
    seen: list[int] = []
    assert list(verify(sync_engine, progress=lambda done: seen.append(done.executions))) == []
    assert seen[-1] == 30
    assert list(verify(sync_engine, "never heard of")) == []


SABOTAGE = [
    ("UPDATE execution_history SET message = 'x' WHERE id = 9", "execution_history", "id=9", "message"),
    ("UPDATE execution_history SET result = '{\"rows\":[1,1,null,1.0]}' WHERE id = 4", "execution_history", "id=4",
     "result"),
    ("UPDATE execution_history SET updated_at = created_at WHERE id = 5", "execution_history", "id=5", "updated_at"),
    ("DELETE FROM execution_history WHERE id = 8", "execution_history", "id=8", None),
    ("UPDATE execution_streams SET status = 'failed' WHERE id = 4", "execution_streams", "id=4", "status"),
    ("UPDATE execution_streams SET version = 9 WHERE id = 5", "execution_streams", "id=5", "version"),
    ("UPDATE execution_streams SET deleted = true WHERE id = 4", "execution_streams", "id=4", "deleted"),
    ("DELETE FROM execution_steps WHERE step_id = 's' AND execution_id = (SELECT execution_id FROM execution_streams "
     "WHERE id = 4)", "execution_steps", "id=4 step_id=s", None),
    ("UPDATE execution_steps SET name = 'other' WHERE execution_id = (SELECT execution_id FROM execution_streams "
     "WHERE id = 4)", "execution_steps", "id=4 step_id=s", "name"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "table", "key", "column"), SABOTAGE)
async def test_what_was_changed_beside_the_ledger_is_found_and_mended(
    writer: GroupWriter, sync_engine: Engine, statement: str, table: str, key: str, column: str | None
) -> None:
    sabotage(sync_engine, statement)
    found = [each for each in verify(sync_engine) if each.table != "ledgers"]
    assert [(each.table, each.key, each.column) for each in found] == [(table, key, column)]
    assert str(found[0]).startswith(f"default: {table} {key}: ")
    job_id = f"job-{int(key.split()[0].partition('=')[2]) - 1}"
    assert repair_execution(sync_engine, job_id) == found
    assert list(verify(sync_engine)) == []
    assert repair_execution(sync_engine, job_id) == []


async def test_a_row_that_should_not_be_there_is_found_and_mended(writer: GroupWriter, sync_engine: Engine) -> None:
    with sync_engine.connect() as connection:
        columns = [row[0] for row in connection.execute(text("SELECT * FROM execution_history")).cursor.description]
    others = ", ".join("7" if name == "id" else "'job-6'" if name == "job_id" else name for name in columns)
    sabotage(sync_engine, f"INSERT INTO execution_history SELECT {others} FROM execution_history WHERE id = 8")
    (found,) = verify(sync_engine)
    assert (found.table, found.key, found.expected) == ("execution_history", "id=7", None), "it was deleted"
    assert str(found).endswith("should not be there")
    assert repair_execution(sync_engine, "job-6") == [found]
    assert list(verify(sync_engine)) == []


async def test_an_event_that_was_changed_or_removed_is_found_and_cannot_be_mended(
    writer: GroupWriter, sync_engine: Engine
) -> None:
    with sync_engine.connect() as connection:
        position = connection.execute(
            text("SELECT max(position) FROM execution_events WHERE type LIKE '%noted'")
        ).scalar()
    sabotage(
        sync_engine,
        f'UPDATE execution_events SET data = \'{{"text":"forged"}}\' WHERE position = {position}',
        "UPDATE execution_events SET actor = 'mallory' WHERE position = 1",
        "DELETE FROM execution_events WHERE position = 3",
    )
    found = list(verify(sync_engine))
    told = {(each.table, each.key, each.column) for each in found}
    assert ("execution_events", f"position={position}", "payload_digest") in told
    assert ("execution_events", "position=1", "leaf_hash") in told
    assert ("execution_events", "position=3", None) in told
    unhashed = {each.column for each in verify(sync_engine, hashes=False)}
    assert not unhashed & {"payload_digest", "leaf_hash"}
    before = repair_execution(sync_engine, "job-0")
    assert [each.column for each in before] == ["leaf_hash"]
    assert repair_execution(sync_engine, "job-0") == before
    with pytest.raises(UnknownExecution):
        repair_execution(sync_engine, "job-99")


async def test_counters_that_are_off_are_found_and_mended(writer: GroupWriter, sync_engine: Engine) -> None:
    sabotage(sync_engine, "UPDATE ledgers SET completed = completed + 3, executions = executions - 1")
    found = list(verify(sync_engine))
    assert {(each.table, each.column) for each in found} == {("ledgers", "completed"), ("ledgers", "executions")}
    assert repair_head(sync_engine) == found
    assert list(verify(sync_engine)) == []
    assert repair_head(sync_engine) == []


async def test_writers_that_go_on_meanwhile_are_no_difference(writer: GroupWriter, sync_engine: Engine) -> None:
    over = asyncio.Event()
    chance = random.Random(3)
    number = 0

    async def write() -> None:
        nonlocal number
        while not over.is_set():
            number += 1
            key = f"new-{chance.randrange(40)}"
            await asyncio.gather(
                writer.execute(create(f"fresh-{number}")),
                writer.execute(update("job-1", message=f"{number}")),
                writer.execute(note("job-2", key)),
            )

    writing = asyncio.create_task(write())
    try:
        times = 0
        while times < 5 or (number <= 5 and not writing.done()):
            assert await asyncio.to_thread(lambda: list(verify(sync_engine))) == []
            times += 1
    finally:
        over.set()
        await writing


async def test_an_auditor_comes_across_what_is_wrong(writer: GroupWriter, sync_engine: Engine) -> None:
    sabotage(sync_engine, "UPDATE execution_history SET message = 'x' WHERE id = 7 OR id = 8 OR id = 9")
    found: list[Difference] = []
    auditor = BackgroundAuditor(sync_engine, sample=5, every=0, found=found.append, chance=random.Random(1))
    async with auditor.running(), asyncio.timeout(30):
        while len({each.key for each in found}) < 2:
            await asyncio.sleep(0.01)
    assert {each.key for each in found} <= {"id=8", "id=9"}, "7 is deleted"
    assert auditor.audited.mismatches == len(found)
    assert auditor.audited.executions >= 5
    assert [each.last_at is not None for each in auditor.audited.ledgers.values()] == [True]
