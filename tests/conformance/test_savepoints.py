"""A unit of work inside the caller's savepoints: what comes inside goes with them, what came before stays."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.domain import IllegalTransition
from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository
from support import ledger


async def job_ids(engine: AsyncEngine) -> list[str]:
    table = ExecutionHistory.__table__
    return [row.job_id for row in await ledger.rows(engine, table.select().order_by(table.c.id))]


@pytest.fixture
def unit(session: AsyncSession) -> ExecutionRepository:
    return ExecutionRepository(session, commit=False)


async def test_a_savepoints_rollback_discards_only_what_came_inside(
    unit: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.create({"job_id": "before"})
    savepoint = await unit.session.begin_nested()
    await unit.create({"job_id": "inside"})
    await unit.update_execution("before", {"status": "running"})
    await savepoint.rollback()
    assert await unit.get_execution_by_job_id("inside") is None
    assert (await unit.get_execution_by_job_id("before")).status == "pending"
    await unit.create({"job_id": "after"})
    await unit.session.commit()
    assert await job_ids(engine) == ["before", "after"]
    assert await ledger.types(engine) == ["created", "created"]


async def test_a_savepoints_rollback_discards_what_was_flushed_inside(
    unit: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.create({"job_id": "before"})
    savepoint = await unit.session.begin_nested()
    await unit.create({"job_id": "inside"})
    await unit.flush()
    await savepoint.rollback()
    await unit.session.commit()
    assert await job_ids(engine) == ["before"]


async def test_what_was_released_with_its_savepoint_stays(unit: ExecutionRepository, engine: AsyncEngine) -> None:
    async with unit.session.begin_nested():
        await unit.create({"job_id": "inside"})
    await unit.create({"job_id": "after"})
    await unit.session.commit()
    assert await job_ids(engine) == ["inside", "after"]


async def test_a_rollback_of_the_whole_takes_released_savepoints_along(
    unit: ExecutionRepository, engine: AsyncEngine
) -> None:
    async with unit.session.begin_nested():
        await unit.create({"job_id": "inside"})
    await unit.create({"job_id": "after"})
    await unit.session.rollback()
    assert await job_ids(engine) == []


async def test_savepoints_nest(unit: ExecutionRepository, engine: AsyncEngine) -> None:
    await unit.create({"job_id": "a"})
    outer = await unit.session.begin_nested()
    await unit.create({"job_id": "b"})
    inner = await unit.session.begin_nested()
    await unit.create({"job_id": "c"})
    await inner.rollback()
    await unit.create({"job_id": "d"})
    await outer.commit()
    async with unit.session.begin_nested():
        await unit.create({"job_id": "e"})
    await unit.session.commit()
    assert await job_ids(engine) == ["a", "b", "d", "e"]


async def test_a_refusal_inside_a_savepoint_leaves_the_rest_intact(
    unit: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.create({"job_id": "job"})

    async def stop_and_go_on() -> None:
        async with unit.session.begin_nested():
            await unit.update_execution("job", {"status": "stopped"})
            await unit.update_execution("job", {"status": "running"})

    with pytest.raises(IllegalTransition):
        await stop_and_go_on()
    await unit.update_execution("job", {"status": "running"})
    await unit.session.commit()
    assert await ledger.types(engine) == ["created", "started"]


async def test_a_repository_that_commits_leaves_a_savepoint_of_the_caller_behind(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    # As the seed does: its commit is the session's, whatever is open.
    await session.begin_nested()
    await ExecutionRepository(session).create({"job_id": "job"})
    await session.rollback()
    assert await job_ids(engine) == ["job"]
