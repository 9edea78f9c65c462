"""`commit=False`: commands are decided at once and appended together with the caller's transaction."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import DuplicateJobId, IllegalTransition, InvalidInput, UnknownStep
from execution_ledger.infrastructure import ExecutionRepository
from support import ledger

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
def unit(session: AsyncSession) -> ExecutionRepository:
    return ExecutionRepository(session, commit=False)


async def test_commands_are_decided_at_once(unit: ExecutionRepository, engine: AsyncEngine) -> None:
    await unit.create({"job_id": "job"})
    completed = await unit.mark_execution_completed("job", {"rows": 3})
    assert (completed.status, completed.result, completed.version) == ("completed", {"rows": 3}, 2)
    with pytest.raises(IllegalTransition):
        await unit.update_execution("job", {"status": "running"})
    with pytest.raises(DuplicateJobId):
        await unit.create({"job_id": "job"})
    with pytest.raises(InvalidInput):
        await unit.update_execution("job", {"color": "red"})
    assert await unit.update_execution("missing", {"status": "running"}) is None
    await unit.session.commit()
    assert await ledger.types(engine) == ["created", "completed"]


async def test_nothing_is_visible_to_another_session_before_the_commit(
    unit: ExecutionRepository, sessions: Sessions, engine: AsyncEngine
) -> None:
    await unit.create({"job_id": "job"})
    async with sessions() as session:
        other = ExecutionRepository(session)
        assert await other.get_execution_by_job_id("job") is None
        await unit.flush()
        assert await other.get_execution_history() == ([], 0)
        assert await ledger.events(engine) == []
        await unit.session.commit()
        assert (await other.get_execution_by_job_id("job")).id == 1


async def test_a_new_entity_has_its_id_after_the_flush(unit: ExecutionRepository) -> None:
    first, second = await unit.create({}), await unit.create({})
    assert (first.id, second.id) == (None, None)
    await unit.flush()
    assert (first.id, second.id) == (1, 2)
    assert (await unit.get(2)).job_id == second.job_id
    await unit.session.commit()
    assert (first.id, second.id) == (1, 2)


async def test_every_entity_of_a_new_stream_learns_its_id(unit: ExecutionRepository) -> None:
    created = await unit.create({"job_id": "job"})
    running = await unit.update_execution("job", {"status": "running"})
    read = await unit.get_execution_by_job_id("job")
    await unit.session.commit()
    assert (created.id, running.id, read.id) == (1, 1, 1)
    assert (created.status, running.status, read.status) == ("pending", "running", "running")


async def test_reads_of_the_same_session_see_what_was_decided(unit: ExecutionRepository) -> None:
    await unit.create({"job_id": "job"})
    assert (await unit.get_execution_by_job_id("job")).status == "pending"
    executions, total = await unit.get_execution_history(status="pending")
    assert ([each.job_id for each in executions], total) == (["job"], 1)
    await unit.update_execution("job", {"status": "running"})
    assert (await unit.get(1)).status == "running"
    assert [each.status for each in await unit.get_all()] == ["running"]
    assert (await unit.get_execution_page()).executions[0].status == "running"
    await unit.delete(1)
    assert await unit.get(1) is None
    assert await unit.get_execution_by_job_id("job") is None
    assert await unit.get_execution_history() == ([], 0)


async def test_a_rollback_discards_everything_also_what_was_flushed(
    unit: ExecutionRepository, engine: AsyncEngine
) -> None:
    before = await ledger.everything(engine)
    await unit.create({"job_id": "flushed"})
    await unit.flush()
    await unit.create({"job_id": "waiting"})
    await unit.session.rollback()
    await unit.session.commit()
    assert await ledger.everything(engine) == before
    assert await unit.get_execution_by_job_id("waiting") is None
    again = await unit.create({"job_id": "waiting"})
    await unit.session.commit()
    assert again.id == 1, "no number was lost"


async def test_closing_the_session_discards_everything(sessions: Sessions, engine: AsyncEngine) -> None:
    before = await ledger.everything(engine)
    session = sessions()
    await ExecutionRepository(session, commit=False).create({"job_id": "job"})
    await session.close()
    await session.commit()
    await session.close()
    assert await ledger.everything(engine) == before


async def test_a_transaction_block_commits_or_discards_as_a_whole(sessions: Sessions, engine: AsyncEngine) -> None:
    async with sessions.begin() as session:
        unit = ExecutionRepository(session, commit=False)
        await unit.create({"job_id": "kept"})
        await unit.update_execution("kept", {"status": "running"})

    async def lose() -> None:
        async with sessions.begin() as session:
            await ExecutionRepository(session, commit=False).create({"job_id": "lost"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await lose()
    assert await ledger.types(engine) == ["created", "started"]


async def test_a_second_commit_appends_nothing_again(unit: ExecutionRepository, engine: AsyncEngine) -> None:
    await unit.create({"job_id": "job"})
    await unit.flush()
    await unit.flush()
    await unit.session.commit()
    await unit.session.commit()
    assert await ledger.types(engine) == ["created"]


async def test_many_commands_on_many_executions_land_in_one_append(
    unit: ExecutionRepository, engine: AsyncEngine
) -> None:
    for at in range(30):
        await unit.create({"job_id": f"job-{at}"})
    await unit.flush()
    for at in reversed(range(30)):
        await unit.update_execution(f"job-{at}", {"status": "running"})
        if at % 3 == 0:
            await unit.mark_execution_completed(at + 1, {"at": at})
        elif at % 3 == 1:
            await unit.delete(at + 1)
    await unit.session.commit()
    assert (await ledger.head(engine))["size"] == 30 + 30 + 10 + 10
    _, total = await unit.get_execution_history()
    assert total == 20


async def test_an_execution_can_live_its_whole_life_in_one_append(
    unit: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.create({"job_id": "job"})
    await unit.start_step("job", "outer")
    await unit.start_step("job", "inner", parent_step_id="outer")
    await unit.finish_step("job", "inner", result={"rows": 3})
    await unit.add_note("job", "a line", step_id="outer")
    with pytest.raises(UnknownStep):
        await unit.finish_step("job", "other")
    await unit.mark_execution_failed("job", "boom")
    await unit.session.commit()
    await unit.finish_step("job", "outer", "failed")
    await unit.session.commit()
    names = ["created", "step_started", "step_started", "step_finished", "noted", "failed", "step_finished"]
    assert await ledger.types(engine) == names


async def test_what_is_created_and_deleted_in_one_append_leaves_its_events_and_no_row(
    unit: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.create({"job_id": "short"})
    assert await unit.delete("short") is True
    assert await unit.get_execution_by_job_id("short") is None
    assert await unit.update_execution("short", {"status": "running"}) is None
    with pytest.raises(DuplicateJobId, match="deleted"):
        await unit.create({"job_id": "short"})
    await unit.session.commit()
    assert await ledger.types(engine) == ["created", "deleted"]
    following = await unit.create({})
    await unit.session.commit()
    assert following.id == 2


async def test_several_repositories_and_ledgers_share_one_unit_of_work(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    here = [ExecutionRepository(session, commit=False) for _ in range(2)]
    there = ExecutionRepository(session, commit=False, ledger="there")
    await here[0].create({"job_id": "job"})
    await there.create({"job_id": "job"})
    assert (await here[1].update_execution("job", {"status": "running"})).version == 2
    assert (await there.get_execution_by_job_id("job")).status == "pending"
    await session.rollback()
    assert await ledger.events(engine) == await ledger.events(engine, "there") == []
    await here[0].create({"job_id": "job"})
    await here[1].update_execution("job", {"status": "running"})
    await there.create({"job_id": "job"})
    await session.commit()
    assert await ledger.types(engine) == ["created", "started"]
    assert await ledger.types(engine, "there") == ["created"]


async def test_a_repository_that_commits_takes_along_what_waits_in_the_session(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    await ExecutionRepository(session, commit=False).create({"job_id": "waiting"})
    await ExecutionRepository(session).create({"job_id": "now"})
    await session.rollback()
    stored = await ledger.events(engine)
    assert len(stored) == 2
    assert (await ExecutionRepository(session).get_execution_by_job_id("waiting")).id == 1


async def test_empty_updates_append_nothing(unit: ExecutionRepository, engine: AsyncEngine) -> None:
    await unit.create({"job_id": "job"})
    await unit.session.commit()
    before = await ledger.everything(engine)
    assert (await unit.update_execution("job", {})).version == 1
    assert (await unit.update_execution(1, {"status": "pending"})).version == 1
    await unit.session.commit()
    assert await ledger.everything(engine) == before
