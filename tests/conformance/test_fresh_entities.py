"""What the repository returns is detached and fresh, whatever the session has seen before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import ReadOnly
from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository, GroupWriter
from support import Door, ledger

Sessions = async_sessionmaker[AsyncSession]
Read = Callable[[ExecutionRepository], Awaitable[ExecutionHistory | None]]

READS: dict[str, Read] = {
    "get": lambda repository: repository.get(1),
    "get_execution_by_job_id": lambda repository: repository.get_execution_by_job_id("job"),
    "get_all": lambda repository: _first(repository.get_all()),
    "get_execution_history": lambda repository: _first(_page(repository)),
    "get_execution_page": lambda repository: _first(_cursor_page(repository)),
    "update_execution": lambda repository: repository.update_execution(1, {}),
}
"""Every way to have the same execution back."""


async def _first(found: Awaitable[list[ExecutionHistory]]) -> ExecutionHistory:
    return (await found)[0]


async def _page(repository: ExecutionRepository) -> list[ExecutionHistory]:
    return (await repository.get_execution_history())[0]


async def _cursor_page(repository: ExecutionRepository) -> list[ExecutionHistory]:
    return (await repository.get_execution_page()).executions


@pytest.mark.parametrize("way", ["commit", "unit of work", "writer"])
@pytest.mark.parametrize("read", READS)
async def test_another_sessions_write_is_seen_by_a_session_with_an_older_copy(
    sessions: Sessions, writer: GroupWriter, read: str, way: str
) -> None:
    options: dict[str, Any] = {"unit of work": {"commit": False}, "writer": {"writer": writer}}.get(way, {})
    async with sessions() as mine, sessions() as others:
        await ExecutionRepository(others).create({"job_id": "job"})
        repository = ExecutionRepository(mine, **options)
        copy = (await mine.execute(select(ExecutionHistory))).scalar_one()
        before = await READS[read](repository)
        await mine.commit()
        await ExecutionRepository(others).update_execution(1, {"status": "running"})
        after = await READS[read](repository)
        assert after is not before
        assert after is not copy
        assert (before.status, after.status, after.version) == ("pending", "running", 2)
        assert copy in mine, "the caller's own object is the caller's"


@pytest.mark.parametrize("read", READS)
async def test_reads_inside_one_transaction_see_what_was_committed_meanwhile(
    sessions: Sessions, door: Door, read: str
) -> None:
    async with sessions() as mine, sessions() as others:
        await door(others).create({"job_id": "job"})
        repository = door(mine)
        assert (await repository.get(1)).status == "pending"
        await door(others).update_execution(1, {"status": "running"})
        assert (await READS[read](repository)).status == "running"


@pytest.mark.parametrize("expire_on_commit", [True, False])
@pytest.mark.parametrize("way", ["commit", "unit of work", "writer"])
async def test_entities_are_detached_and_complete_also_after_commit_and_close(
    engine: AsyncEngine, writer: GroupWriter, way: str, expire_on_commit: bool
) -> None:
    options: dict[str, Any] = {"unit of work": {"commit": False}, "writer": {"writer": writer}}.get(way, {})
    async with async_sessionmaker(engine, expire_on_commit=expire_on_commit)() as session:
        repository = ExecutionRepository(session, **options)
        entities = [await repository.create({"job_id": "job", "inputs": {"a": 1}})]
        await session.commit()
        entities.append(await repository.update_execution(1, {"status": "running"}))
        await session.commit()
        entities += [await read(repository) for read in READS.values()]
        assert not any(entity in session for entity in entities)
        await session.commit()
    columns = ExecutionHistory.__table__.columns.keys()
    values = [{name: getattr(entity, name) for name in columns} for entity in entities]
    assert values[0]["status"] == "pending"
    assert all(each == values[1] for each in values[2:])
    assert (values[1]["status"], values[1]["inputs"], values[1]["id"]) == ("running", {"a": 1}, 1)


async def test_a_change_of_a_returned_entity_reaches_no_table(
    sessions: Sessions, engine: AsyncEngine, door: Door
) -> None:
    async with sessions() as session:
        repository = door(session)
        created = await repository.create({"job_id": "job", "inputs": {"a": 1}})
        before = await ledger.everything(engine)
        read = await repository.get(created.id)
        for entity in (created, read):
            entity.status = "completed"
            entity.inputs["a"] = 2
        await session.flush()
        await session.commit()
        assert (await repository.get(1)).inputs == {"a": 1}
    assert await ledger.everything(engine) == before


async def test_a_change_of_an_entity_that_is_not_yet_appended_changes_no_event_and_no_row(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    async with sessions() as session:
        repository = ExecutionRepository(session, commit=False)
        inputs = {"a": [1]}
        created = await repository.create({"job_id": "job", "inputs": inputs, "attributes": {"k": 1}})
        created.inputs["a"].append(2)
        created.attributes["k"] = 2
        inputs["a"].append(3)
        changed = await repository.update_execution("job", {"result": {"r": [1]}})
        changed.result["r"].append(2)
        changed.inputs["a"].append(4)
        await session.commit()
        read = await repository.get(1)
        assert (read.inputs, read.attributes, read.result) == ({"a": [1]}, {"k": 1}, {"r": [1]})
    await ledger.check_all(engine)


async def test_the_orm_refuses_to_write_the_history_past_the_ledger(sessions: Sessions, engine: AsyncEngine) -> None:
    async with sessions() as session:
        await ExecutionRepository(session).create({"job_id": "job"})
    before = await ledger.everything(engine)
    async with sessions() as session:
        row = (await session.execute(select(ExecutionHistory))).scalar_one()
        row.status = "completed"
        with pytest.raises(ReadOnly, match="ExecutionRepository"):
            await session.flush()
        await session.rollback()
        session.add(ExecutionHistory(ledger_id="default", id=2))
        with pytest.raises(ReadOnly):
            await session.commit()
        await session.rollback()
        await session.delete((await session.execute(select(ExecutionHistory))).scalar_one())
        with pytest.raises(ReadOnly):
            await session.flush()
    assert await ledger.everything(engine) == before
