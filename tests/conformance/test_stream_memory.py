"""What a process remembers of executions saves reads, and decides nothing: the database has the last word."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import (
    CommandIdReused,
    DuplicateJobId,
    IllegalTransition,
    StreamState,
    VersionConflict,
    stream_id,
)
from execution_ledger.infrastructure import (
    EventStore,
    ExecutionRepository,
    create_engine,
)
from execution_ledger.infrastructure.stream_memory import StreamMemory
from support import Database, Door, ledger
from support.writers import WatchedWriter, create, delete, note, update

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
Change = Callable[[ExecutionRepository], Awaitable[Any]]


@asynccontextmanager
async def other_process(database: Database, store: EventStore | None = None) -> AsyncIterator[ExecutionRepository]:
    """A repository over a pool of its own, which remembers nothing of what ours did."""
    engine = create_engine(database.url)
    async with AsyncSession(engine) as session:
        yield ExecutionRepository(session, store=store)
    await engine.dispose()


@pytest.fixture
async def mine(session: AsyncSession, door: Door) -> ExecutionRepository:
    """Has just written to execution 1, and so remembers it."""
    repository = door(session)
    await repository.create({"job_id": "job", "message": "mine"})
    await repository.update_execution("job", {"status": "running"})
    return repository


CHANGES: dict[str, tuple[Change, Any]] = {
    "completed": (lambda theirs: theirs.mark_execution_completed(1, {"rows": 3}), IllegalTransition),
    "deleted": (lambda theirs: theirs.delete(1), None),
    "changed": (lambda theirs: theirs.update_execution(1, {"message": "theirs"}), ("theirs", 4)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("target", [1, "job"])
async def test_what_another_process_did_meanwhile_is_what_a_command_is_decided_on(
    mine: ExecutionRepository, database: Database, change: str, target: int | str
) -> None:
    theirs, expected = CHANGES[change]
    async with other_process(database) as repository:
        await theirs(repository)
    if isinstance(expected, type):
        with pytest.raises(expected):
            await mine.update_execution(target, {"progress": 0.5})
        return
    answer = await mine.update_execution(target, {"progress": 0.5})
    assert (answer and (answer.message, answer.version)) == expected
    again = await mine.update_execution(target, {"attempt": 2})
    assert (again and (again.message, again.progress, again.version)) == (expected and ("theirs", 0.5, 5))


async def test_a_command_that_memory_would_refuse_is_decided_on_what_is_there(
    mine: ExecutionRepository, database: Database
) -> None:
    await mine.update_execution(1, {"status": "waiting_for_approval"})
    async with other_process(database) as theirs:
        await theirs.transition(1, "approved")
    stopping = await mine.transition(1, "stop_requested")
    assert (stopping.status, stopping.version) == ("stopping", 5)
    async with other_process(database) as theirs:
        await theirs.update_execution(1, {"status": "stopped"})
    with pytest.raises(VersionConflict) as refused:
        await mine.update_execution(1, {"message": "m"}, expected_version=5)
    assert refused.value.actual == 6
    assert (await mine.update_execution(1, {"message": "m"}, expected_version=6)).version == 7


async def test_a_command_that_changed_nothing_in_memory_is_looked_up(
    mine: ExecutionRepository, database: Database
) -> None:
    async with other_process(database) as theirs:
        await theirs.update_execution(1, {"status": "waiting_for_approval"})
    approved = await mine.update_execution(1, {"status": "running"})  # no news, as far as is remembered
    assert (approved.status, approved.version) == ("running", 4)


async def test_a_command_known_from_before_is_answered_as_ever(
    mine: ExecutionRepository, database: Database, engine: AsyncEngine
) -> None:
    first = await mine.add_note(1, "text", command_id="c1")
    async with other_process(database) as theirs:
        their_first = await theirs.add_note(1, "theirs", command_id="c2")
    await mine.update_execution(1, {"message": "m"})
    assert (await mine.add_note(1, "text", command_id="c1")).version == first.version == 3
    assert (await mine.add_note(1, "theirs", command_id="c2")).version == their_first.version == 4
    with pytest.raises(CommandIdReused):
        await mine.add_note(1, "other", command_id="c1")
    assert len(await ledger.events(engine)) == 5


async def test_a_deleted_execution_is_remembered_as_gone(mine: ExecutionRepository) -> None:
    await mine.delete(1)
    for target in (1, "job"):
        assert await mine.update_execution(target, {"message": "m"}) is None
        assert await mine.delete(target) is False
    with pytest.raises(DuplicateJobId) as refused:
        await mine.create({"job_id": "job"})
    assert refused.value.deleted


async def forge(engine: AsyncEngine, *statements: str) -> None:
    """Change tables past all guards, as a restore does."""
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.exec_driver_sql("ALTER TABLE execution_events DISABLE TRIGGER USER")
        else:
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'execution_events'"
            for row in (await connection.exec_driver_sql(triggers)).all():
                await connection.exec_driver_sql(f"DROP TRIGGER {row.name}")
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def test_a_database_restored_from_a_backup_is_told_apart_by_the_time_of_the_last_event(
    database: Database, engine: AsyncEngine, door: Door, sessions: async_sessionmaker[AsyncSession]
) -> None:
    async with sessions() as session:
        mine = door(session)
        await mine.create({"job_id": "job"})
        await mine.update_execution(1, {"status": "running", "message": "lost"})
        # Restored to before the update; then another process made version 2 anew.
        await forge(
            engine,
            "DELETE FROM execution_events WHERE version = 2",
            "UPDATE ledgers SET size = 1, running = 0, pending = 1",
            "UPDATE execution_streams SET version = 1, status = 'pending', started_at = NULL, "
            "last_recorded_at = (SELECT recorded_at FROM execution_events)",
            "UPDATE execution_history SET version = 1, status = 'pending', message = NULL, started_at = NULL, "
            "updated_at = (SELECT recorded_at FROM execution_events)",
        )
        async with other_process(database) as theirs:
            await theirs.update_execution(1, {"status": "waiting_for_approval", "message": "theirs"})
        rejected = await mine.transition("job", "rejected")
        assert (rejected.status, rejected.message, rejected.version) == ("rejected", "theirs", 3)
    await ledger.check_all(engine)


async def test_after_a_restore_a_job_id_leads_to_no_other_execution_that_has_its_number_now(
    database: Database, engine: AsyncEngine, door: Door, sessions: async_sessionmaker[AsyncSession]
) -> None:
    async with sessions() as session:
        mine = door(session)
        await mine.create({"job_id": "lost"})
        tables = ("execution_events", "execution_streams", "execution_history", "ledgers")
        await forge(engine, *(f"DELETE FROM {table}" for table in tables))
        await mine.create({"job_id": "other", "message": "untouched"})
        assert await mine.update_execution("lost", {"message": "meant for the lost one"}) is None
        assert await mine.delete("lost") is False
        assert (await mine.update_execution("other", {"progress": 0.5})).message == "untouched"
        assert (await mine.create({"job_id": "lost"})).id == 2
    await ledger.check_all(engine)


def state(id: int, key: str, version: int = 1) -> StreamState:
    return StreamState(stream_id("default", key), id, key, version, "running", None, NOON, False)


def test_the_entities_used_last_are_the_ones_that_are_remembered() -> None:
    memory = StreamMemory(capacity=3)
    for number in range(1, 4):
        memory.remember("default", state(number, f"job-{number}"), {"message": "m"})
    assert memory.recall("default", "job-1") == memory.recall("default", 1)
    memory.remember("default", state(4, "job-4"), None)
    assert [bool(memory.recall("default", number)) for number in range(1, 5)] == [True, False, True, True]
    assert [bool(memory.recall("default", f"job-{number}")) for number in range(1, 5)] == [True, False, True, True]
    assert memory.recall("other", 1) is None
    assert memory.recall("default", None) is None


def test_forgetting_leaves_nothing_behind_whatever_was_remembered_in_between() -> None:
    memory = StreamMemory(capacity=2)
    memory.remember("default", state(1, "old"), None)
    memory.remember("default", state(1, "new"), None)  # after a restore, number 1 is another entity
    assert memory.recall("default", "old") is None
    memory.forget("default", state(1, "old"))
    memory.forget("default", state(1, "old"))
    for number in range(1, 6):
        memory.remember("default", state(number, f"job-{number}"), None)
        memory.remember("default", state(number, f"job-{number}", version=2), None)
        memory.forget("default", state(number, "yet another"))
    assert len(vars(memory)["_entries"]) == len(vars(memory)["_ids"]) <= 2


def test_large_rows_are_not_kept_beside_the_state() -> None:
    memory = StreamMemory()
    memory.remember("default", state(1, "small"), {"message": "x" * 8_000})
    memory.remember("default", state(2, "large"), {"message": "x" * 8_000, "result": "y" * 1_000})
    small, large = memory.recall("default", 1), memory.recall("default", 2)
    assert small is not None
    assert large is not None
    assert (small.row, large.row, large.state.key) == ({"message": "x" * 8_000}, None, "large")


@pytest.mark.parametrize("size", [10, 10_000])
async def test_answers_are_the_same_whether_a_row_is_remembered_or_read(database: Database, size: int) -> None:
    commands = [
        create("job", inputs={"k": [1, 1.0, "é", None]}, attributes={}, started_at="2026-01-31T13:00:00+05:45"),
        update("job", status="running", progress=1),
        note("job", "n"),
        update(1, result={"text": "x" * size}, message=None),
        update(1, attributes={"x": {"y": 1e300}}, inputs=None),
        delete("job"),
    ]

    async def answers(name: str, *, remembering: bool) -> list[Any]:
        times = iter(NOON + timedelta(seconds=at) for at in range(100))
        writer = WatchedWriter(database, store=EventStore(clock=lambda: next(times)))
        said = []
        for each in commands:
            outcome = await writer.execute(replace(each, ledger=name))
            assert outcome is not None
            row = {name: (type(value), value) for name, value in (outcome.row or {}).items()}
            said.append((outcome.version, [row.pop(name, None) for name in ("ledger_id", "execution_id")] and row))
            if not remembering:
                writer.watch.engine.dispose()  # the memory belongs to the pool
        await writer.close()
        writer.watch.engine.dispose()
        return said

    assert await answers("remembered", remembering=True) == await answers("read", remembering=False)
