"""A caller that gives up while it waits leaves nothing half done, and its session can go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import IllegalTransition, Update
from execution_ledger.infrastructure import EventStore, ExecutionRepository, Request, create_engine, create_sync_engine
from support import Database, ledger

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def held(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """A session whose open transaction holds the lock that a writer of execution 1 needs."""
    async with sessions() as session:
        await ExecutionRepository(session).create({"job_id": "job"})
        unit = ExecutionRepository(session, commit=False)
        await unit.update_execution(1, {"message": "holds the lock"})
        await unit.flush()
        yield session


@pytest.mark.parametrize("commit", [True, False])
async def test_a_cancelled_write_leaves_no_event_and_the_session_usable(
    database: Database, engine: AsyncEngine, sessions: Sessions, held: AsyncSession, commit: bool
) -> None:
    waiting = create_engine(database.url, pool_size=1, max_overflow=0)
    sent = asyncio.Event()

    @event.listens_for(waiting.sync_engine, "before_cursor_execute")
    def notice(*arguments: object) -> None:
        if str(arguments[2]).startswith("BEGIN IMMEDIATE" if database.kind == "sqlite" else ("WITH", "SELECT")):
            sent.set()

    async with AsyncSession(waiting) as session:
        repository = ExecutionRepository(session, commit=commit)

        async def write() -> None:
            await repository.update_execution(1, {"progress": 0.5})
            await session.commit()

        task = asyncio.create_task(write())
        await sent.wait()
        task.cancel()
        await held.commit()
        with pytest.raises(asyncio.CancelledError):
            await task
        await session.rollback()
        await repository.update_execution(1, {"progress": 0.75})
        await session.commit()
    async with sessions() as other:
        await ExecutionRepository(other).update_execution(1, {"message": "no lock was left behind"})
    await waiting.dispose()
    assert await ledger.types(engine) == ["created", "details_changed", "progressed", "details_changed"]
    await ledger.check_all(engine)


@pytest.mark.store("postgresql")
@pytest.mark.parametrize("in_a_transaction", [True, False])
async def test_a_write_that_another_one_overtakes_between_read_and_append_is_decided_again(
    database: Database, engine: AsyncEngine, sessions: Sessions, in_a_transaction: bool
) -> None:
    other = create_sync_engine(database.url)
    overtaken: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def overtake(*arguments: object) -> None:
        if str(arguments[2]).startswith("WITH") and not overtaken:
            overtaken.append("once")
            with other.begin() as connection:
                EventStore().execute(connection, Request("default", 1, Update.of({"status": "running"})))

    overtaken.append("not yet")
    async with sessions() as session:
        repository = ExecutionRepository(session)
        await repository.create({"job_id": "job"})
        if in_a_transaction:
            assert (await repository.get(1)).status == "pending"
        overtaken.clear()
        updated = await repository.update_execution(1, {"message": "m"})
        assert (updated.status, updated.version, updated.message) == ("running", 3, "m")
    other.dispose()
    assert await ledger.types(engine) == ["created", "started", "details_changed"]
    await ledger.check_all(engine)


async def test_a_refusal_of_one_repository_keeps_what_another_one_has_waiting(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    async with sessions() as session:
        await ExecutionRepository(session, commit=False).create({"job_id": "job"})
        with pytest.raises(IllegalTransition):
            await ExecutionRepository(session).transition("job", "approved")
        await session.commit()
    assert await ledger.types(engine) == ["created"]
