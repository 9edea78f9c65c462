"""Sent twice is done once: command ids and their receipts; and writes that insist on a version."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import CommandIdReused, IllegalTransition, VersionConflict
from execution_ledger.infrastructure import EventStore, ExecutionHistory, ExecutionRepository
from execution_ledger.infrastructure.tables import command_receipts
from support import Door, ledger

Sessions = async_sessionmaker[AsyncSession]


async def receipts(engine: AsyncEngine) -> list[Any]:
    return await ledger.rows(engine, select(command_receipts).order_by(command_receipts.c.command_id))


async def test_an_expected_version_that_is_the_one_lets_the_write_pass(repository: ExecutionRepository) -> None:
    await repository.create({"job_id": "job"}, expected_version=0)
    updated = await repository.update_execution(1, {"status": "running"}, expected_version=1)
    assert updated.version == 2
    assert await repository.delete(1, expected_version=2) is True


@pytest.mark.parametrize("expected", [0, 1, 3])
async def test_another_version_is_refused_with_both_numbers_and_changes_nothing(
    repository: ExecutionRepository, engine: AsyncEngine, expected: int
) -> None:
    await repository.create({"job_id": "job"})
    await repository.update_execution(1, {"status": "running"})
    before = await ledger.everything(engine)
    for attempt in (
        repository.update_execution(1, {"message": "m"}, expected_version=expected),
        repository.update_execution(1, {}, expected_version=expected),
        repository.delete(1, expected_version=expected),
    ):
        with pytest.raises(VersionConflict) as refused:
            await attempt
        assert (refused.value.key, refused.value.expected, refused.value.actual) == ("job", expected, 2)
    assert await ledger.everything(engine) == before


@pytest.mark.parametrize("commit", [True, False])
async def test_the_same_command_again_is_answered_with_the_first_outcome(
    session: AsyncSession, engine: AsyncEngine, commit: bool
) -> None:
    repository = ExecutionRepository(session, commit=commit)
    first = await repository.create({"inputs": {"a": 1}}, command_id="c1", actor="ada")
    await session.commit()
    before = await ledger.everything(engine)
    again = await repository.create({"inputs": {"a": 1}}, command_id="c1", actor="ada")
    await session.commit()
    assert (again.id, again.job_id, again.version) == (first.id, first.job_id, 1)
    assert await ledger.everything(engine) == before


async def test_a_receipt_says_where_the_events_of_its_command_are(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    await repository.create({"job_id": "job"})
    await repository.update_execution(1, {"status": "running"}, command_id="c1")
    await repository.update_execution(1, {"status": "running"}, command_id="c2")
    first, second = await receipts(engine)
    assert (first.first_position, first.event_count, second.first_position, second.event_count) == (2, 1, None, 0)
    assert [event.command_id for event in await ledger.events(engine)] == [None, "c1"]


async def test_a_command_that_gave_no_event_is_not_done_later_either(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    await repository.create({"job_id": "job", "status": "running"})
    assert (await repository.update_execution(1, {"status": "running"}, command_id="c1")).version == 1
    await repository.update_execution(1, {"status": "waiting_for_approval"})
    again = await repository.update_execution(1, {"status": "running"}, command_id="c1")
    assert (again.status, again.version) == ("running", 1), "the first answer, and no approval by accident"
    assert await ledger.types(engine) == ["created", "approval_requested"]


async def test_a_refused_command_leaves_no_receipt_and_may_succeed_later(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    await repository.create({"job_id": "job"})
    with pytest.raises(IllegalTransition):
        await repository.transition(1, "approved", command_id="c1")
    assert await receipts(engine) == []
    await repository.update_execution(1, {"status": "waiting_for_approval"})
    assert (await repository.transition(1, "approved", command_id="c1")).status == "running"


async def test_a_command_for_what_is_missing_leaves_no_receipt(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    assert await repository.update_execution("job", {"status": "running"}, command_id="c1") is None
    await repository.create({"job_id": "job"})
    assert (await repository.update_execution("job", {"status": "running"}, command_id="c1")).status == "running"
    assert len(await receipts(engine)) == 1


async def test_an_id_that_was_used_for_another_command_is_refused(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    await repository.create({"job_id": "job"})
    await repository.create({"job_id": "other"})
    await repository.update_execution(1, {"message": "m"}, command_id="c1", actor="ada", reason="r")
    before = await ledger.everything(engine)
    same = {"actor": "ada", "reason": "r", "command_id": "c1"}
    for attempt in (
        repository.update_execution(1, {"message": "n"}, **same),
        repository.update_execution(1, {"message": "m", "progress": None}, **same),
        repository.update_execution(2, {"message": "m"}, **same),
        repository.correct_execution(1, {"message": "m"}, **same),
        repository.delete(1, **same),
        repository.create({"message": "m"}, **same),
        repository.update_execution(1, {"message": "m"}, **same | {"actor": "bob"}),
        repository.update_execution(1, {"message": "m"}, **same | {"reason": "other"}),
    ):
        with pytest.raises(CommandIdReused) as refused:
            await attempt
        assert refused.value.command_id == "c1"
    assert await ledger.everything(engine) == before


async def test_the_same_command_id_in_another_ledger_is_another_command(
    session: AsyncSession, engine: AsyncEngine, door: Door
) -> None:
    for name in ("default", "other"):
        await door(session, ledger=name).create({"job_id": name}, command_id="c1")
    assert len(await ledger.events(engine)) == len(await ledger.events(engine, "other")) == 1


async def test_a_deletion_can_be_sent_twice(repository: ExecutionRepository, engine: AsyncEngine) -> None:
    await repository.create({"job_id": "job"})
    assert await repository.delete(1, command_id="c1") is True
    assert await repository.delete(1, command_id="c1") is True
    assert await repository.delete(1) is False
    assert await ledger.types(engine) == ["created", "deleted"]


async def test_the_first_answer_comes_again_whatever_happened_since(repository: ExecutionRepository) -> None:
    data = {"job_id": "job", "inputs": {"a": [1.0]}, "attributes": {"team": "x"}}
    created = await repository.create(data, command_id="c0")
    noted = await repository.add_note(1, "a note", command_id="c1")
    changed = await repository.update_execution(1, {"status": "running", "message": "m"}, command_id="c2")
    await repository.mark_execution_completed(1, {"rows": 1})
    await repository.delete(1)
    for first, again in (
        (created, await repository.create(data, command_id="c0")),
        (noted, await repository.add_note(1, "a note", command_id="c1")),
        (changed, await repository.update_execution(1, {"status": "running", "message": "m"}, command_id="c2")),
    ):
        columns = ExecutionHistory.__table__.columns.keys()
        assert [getattr(again, name) for name in columns] == [getattr(first, name) for name in columns]


@pytest.mark.parametrize("writers", [2, 8])
async def test_the_same_command_from_several_sessions_at_once_gives_one_event(
    sessions: Sessions, engine: AsyncEngine, door: Door, writers: int
) -> None:
    async def send(command: str) -> Any:
        async with sessions() as session:
            repository = door(session)
            if command == "create":
                return await repository.create({"message": "m"}, command_id="c0")
            return await repository.add_note("job", "once", command_id="c1")

    async with sessions() as session:
        await ExecutionRepository(session).create({"job_id": "job"})
    created = await asyncio.gather(*(send("create") for _ in range(writers)))
    noted = await asyncio.gather(*(send("note") for _ in range(writers)))
    assert {(each.id, each.version) for each in created} == {(2, 1)}
    assert {(each.id, each.version) for each in noted} == {(1, 2)}
    assert await ledger.types(engine) == ["created", "created", "noted"]
    await ledger.check_all(engine)


async def test_within_a_unit_of_work_the_same_command_is_done_once_and_another_refused(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    unit = ExecutionRepository(session, commit=False)
    first = await unit.create({"message": "m"}, command_id="c1")
    again = await unit.create({"message": "m"}, command_id="c1")
    assert first.job_id == again.job_id
    with pytest.raises(CommandIdReused):
        await unit.create({"message": "n"}, command_id="c1")
    await unit.update_execution(first.job_id, {"status": "pending"}, command_id="c2")
    await unit.update_execution(first.job_id, {"status": "running"}, command_id="c3")
    await session.commit()
    assert await ledger.types(engine) == ["created", "started"]
    assert [(row.command_id, row.first_position, row.event_count) for row in await receipts(engine)] == [
        ("c1", 1, 1),
        ("c2", None, 0),
        ("c3", 2, 1),
    ]
    assert (first.id, again.id) == (1, 1)


async def test_receipts_point_to_the_right_events_of_a_large_append(session: AsyncSession, engine: AsyncEngine) -> None:
    unit = ExecutionRepository(session, commit=False)
    for at in range(5):
        await unit.create({"job_id": f"{at}"})
    await session.commit()
    for at in (4, 0, 3, 1):
        await unit.add_note(f"{at}", "before")
        await unit.add_note(f"{at}", "text", command_id=f"c{at}")
    await unit.create({"job_id": "new"}, command_id="c9")
    await session.commit()
    stored = await ledger.events(engine)
    for receipt in await receipts(engine):
        assert stored[receipt.first_position - 1].command_id == receipt.command_id


async def test_a_creation_sent_again_after_the_deletion_creates_nothing(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    await repository.create({"job_id": "job"}, command_id="c1")
    await repository.delete(1)
    again = await repository.create({"job_id": "job"}, command_id="c1")
    assert (again.id, again.version, again.status) == (1, 1, "pending"), "the first outcome"
    assert await repository.get(1) is None
    assert await ledger.types(engine) == ["created", "deleted"]


async def test_forgotten_receipts_let_their_commands_run_again(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    await repository.create({"job_id": "job"})
    await repository.add_note(1, "text", command_id="c1")
    now = datetime.now(UTC)
    async with engine.begin() as connection:
        store = EventStore()
        early = now - timedelta(hours=1)
        assert await connection.run_sync(store.forget_receipts, "default", early) == 0
        assert await connection.run_sync(store.forget_receipts, "other", now + timedelta(hours=1)) == 0
        assert await connection.run_sync(store.forget_receipts, "default", now + timedelta(hours=1)) == 1
    await repository.add_note(1, "text", command_id="c1")
    assert await ledger.types(engine) == ["created", "noted", "noted"]
