"""A unit of work whose executions another session changes between the decision and the commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import (
    DuplicateJobId,
    IllegalTransition,
    LedgerBusy,
    UnitRefused,
    UnknownStep,
    VersionConflict,
)
from execution_ledger.infrastructure import ExecutionRepository
from support import ledger

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
def unit(session: AsyncSession) -> ExecutionRepository:
    return ExecutionRepository(session, commit=False)


@pytest.fixture
async def other(sessions: Sessions) -> AsyncIterator[ExecutionRepository]:
    """The other writer: it commits at once."""
    async with sessions() as session:
        repository = ExecutionRepository(session)
        await repository.create({"job_id": "job", "status": "running"})
        yield repository


async def test_the_commands_are_decided_again_on_what_another_writer_left(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    promised = await unit.update_execution(1, {"message": "mine"})
    await other.update_execution(1, {"progress": 0.5})
    await other.update_execution(1, {"progress": 0.6})
    await unit.session.commit()
    row = await unit.get(1)
    assert promised.version == 2
    assert (row.version, row.message, row.progress) == (4, "mine", 0.6)
    assert await ledger.types(engine) == ["created", "progressed", "progressed", "details_changed"]


async def test_what_is_no_longer_legal_is_refused_at_the_commit(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    assert (await unit.mark_execution_completed(1, {"rows": 3})).status == "completed"
    await other.update_execution(1, {"status": "stopped"})
    before = await ledger.everything(engine)
    with pytest.raises(IllegalTransition) as refused:
        await unit.session.commit()
    assert (refused.value.job_id, refused.value.source) == ("job", "stopped")
    await unit.session.rollback()
    assert await ledger.everything(engine) == before


async def test_a_refusal_at_the_commit_takes_the_whole_unit_of_work_with_it(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    first = ExecutionRepository(unit.session, commit=False, ledger="a ledger that is flushed first")
    await first.create({"job_id": "in another ledger"})
    await unit.create({"job_id": "next to it"})
    await unit.mark_execution_completed(1)
    await other.update_execution(1, {"status": "stopped"})
    before = await ledger.everything(engine)
    with pytest.raises(IllegalTransition):
        await unit.session.commit()
    for go_on in (unit.session.commit, unit.flush, lambda: unit.add_note(1, "what now?")):
        with pytest.raises(UnitRefused, match="Roll back"):
            await go_on()
    await unit.session.rollback()
    assert await ledger.everything(engine) == before
    assert await unit.add_note(1, "a new start") is not None
    await unit.session.commit()


async def test_the_same_command_in_two_units_of_work_is_done_once_and_told_to_the_other(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    async def first(session: AsyncSession) -> None:
        unit = ExecutionRepository(session, commit=False)
        await unit.create({"job_id": "same"}, command_id="c1")
        await unit.mark_execution_completed("same", {"rows": 1}, command_id="c2")

    async with sessions() as one, sessions() as two:
        await first(one)
        await first(two)
        await one.commit()
        with pytest.raises(LedgerBusy, match="first outcome"):
            await two.commit()
        await two.rollback()
        await first(two)
        await two.commit()
    assert await ledger.types(engine) == ["created", "completed"]


async def test_a_change_of_something_that_was_deleted_meanwhile_does_not_vanish_silently(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    assert await unit.update_execution(1, {"message": "promised"}) is not None
    await other.delete(1)
    with pytest.raises(VersionConflict) as refused:
        await unit.session.commit()
    assert (refused.value.expected, refused.value.actual) == (1, 2)
    await unit.session.rollback()
    assert await ledger.types(engine) == ["created", "deleted"]


async def test_what_two_writers_delete_is_deleted_once(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    assert await unit.delete(1) is True
    assert await other.delete(1) is True
    await unit.session.commit()
    assert await ledger.types(engine) == ["created", "deleted"]


async def test_a_job_id_that_another_writer_took_meanwhile_is_refused_at_the_commit(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.create({"job_id": "wanted by both"})
    await other.create({"job_id": "wanted by both"})
    with pytest.raises(DuplicateJobId):
        await unit.session.commit()
    await unit.session.rollback()
    assert (await ledger.head(engine))["executions"] == 2


async def test_the_same_end_by_another_writer_leaves_nothing_to_append(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.update_execution(1, {"status": "stopped"})
    await other.update_execution(1, {"status": "stopped"})
    await unit.session.commit()
    assert await ledger.types(engine) == ["created", "stopped"]


async def test_an_expected_version_holds_up_to_the_commit(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.update_execution(1, {"message": "mine"}, expected_version=1)
    await unit.update_execution(1, {"message": "mine again"}, expected_version=2)
    await other.update_execution(1, {"message": "theirs"})
    with pytest.raises(VersionConflict) as refused:
        await unit.session.commit()
    assert (refused.value.expected, refused.value.actual) == (1, 2)
    await unit.session.rollback()
    assert (await unit.get(1)).message == "theirs"


async def test_steps_are_decided_again_too(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    await other.start_step(1, "outer")
    await unit.start_step(1, "inner", parent_step_id="outer")
    await unit.add_note(1, "text", step_id="inner")
    await other.add_note(1, "moves the stream on")
    await unit.session.commit()
    names = ["created", "step_started", "noted", "step_started", "noted"]
    assert await ledger.types(engine) == names
    with pytest.raises(UnknownStep):
        await unit.finish_step(1, "unknown")


async def test_a_later_command_of_the_unit_is_decided_on_what_another_writer_left(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.update_execution(1, {"message": "mine"})
    await other.update_execution(1, {"status": "stopping"})
    seen = await unit.update_execution(1, {"progress": 1.0})
    assert (seen.status, seen.message, seen.progress, seen.version) == ("stopping", "mine", 1.0, 4)
    await unit.session.commit()
    assert await ledger.types(engine) == ["created", "stop_requested", "details_changed", "progressed"]


async def test_new_streams_of_two_units_get_different_numbers(
    unit: ExecutionRepository, other: ExecutionRepository, sessions: Sessions
) -> None:
    mine = await unit.create({})
    async with sessions() as session:
        second = ExecutionRepository(session, commit=False)
        theirs = await second.create({})
        await session.commit()
    await unit.session.commit()
    assert (theirs.id, mine.id) == (2, 3)


async def test_two_units_that_begin_the_same_new_ledger_both_land(sessions: Sessions, engine: AsyncEngine) -> None:
    async with sessions() as one, sessions() as two:
        await ExecutionRepository(one, commit=False, ledger="new").create({"job_id": "a"})
        await ExecutionRepository(two, commit=False, ledger="new").create({"job_id": "b"})
        await one.commit()
        await two.commit()
    assert await ledger.types(engine, "new") == ["created", "created"]
    await ledger.check_all(engine)


async def test_a_command_that_ran_elsewhere_meanwhile_is_told_and_answers_the_second_time(
    unit: ExecutionRepository, other: ExecutionRepository, engine: AsyncEngine
) -> None:
    await unit.update_execution(1, {"message": "once"}, command_id="c1")
    await other.update_execution(1, {"message": "once"}, command_id="c1")
    with pytest.raises(LedgerBusy, match="Roll back"):
        await unit.session.commit()
    await unit.session.rollback()
    replayed = await unit.update_execution(1, {"message": "once"}, command_id="c1")
    await unit.session.commit()
    assert (replayed.message, replayed.version) == ("once", 2)
    assert await ledger.types(engine) == ["created", "details_changed"]


@pytest.mark.store("postgresql")
async def test_the_streams_of_all_ledgers_are_locked_before_any_head(
    session: AsyncSession, sessions: Sessions, engine: AsyncEngine
) -> None:
    """A writer for both has the stream in b, and then wants the heads: neither may hold up the other for ever."""
    first, second = (ExecutionRepository(session, commit=False, ledger=name) for name in ("a", "b"))
    async with sessions() as setup:
        for name in ("a", "b"):
            await ExecutionRepository(setup, ledger=name).create({"job_id": "job"})
    await first.update(1, {"message": "m"})
    await second.update(1, {"message": "m"})
    async with engine.begin() as other:
        await other.execute(text("SELECT 1 FROM execution_streams WHERE ledger_id = 'b' FOR UPDATE"))
        committing = asyncio.create_task(session.commit())
        await asyncio.sleep(0.3)
        assert not committing.done(), "it waits for the stream"
        await other.execute(text("SET LOCAL lock_timeout = '5s'"))
        await other.execute(text("SELECT 1 FROM ledgers WHERE ledger_id = 'a' FOR UPDATE"))
    await committing
    assert (await first.get(1)).message == "m"
    assert (await second.get(1)).message == "m"
