"""`BaseRepository` serves another event-sourced entity: crews, with a table and events of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput, VersionConflict
from execution_ledger.infrastructure import EventStore, ExecutionRepository, GroupWriter
from support import Database, ledger
from support.crews import CREWS, CrewBase, CrewRepository, CrewRow, DuplicateCrew


@pytest.fixture
async def session(engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with engine.begin() as connection:
        await connection.run_sync(CrewBase.metadata.create_all)
    async with sessions() as session:
        yield session
    await ledger.check_ledger(engine, "crews", CREWS)


@pytest.fixture(params=["session", "writer"])
async def crews(
    request: pytest.FixtureRequest, session: AsyncSession, database: Database
) -> AsyncIterator[CrewRepository]:
    if request.param == "session":
        yield CrewRepository(session, actor="ada")
        return
    async with GroupWriter(database.url, store=EventStore(CREWS)) as writer:
        yield CrewRepository(session, actor="ada", writer=writer)


async def test_a_crew_is_created_read_changed_and_deleted(crews: CrewRepository, engine: AsyncEngine) -> None:
    red = await crews.create({"code": "red", "name": "Red", "members": ["ada", {"agent": 7}]})
    blue = await crews.create({"code": "blue", "name": "Blue"})
    assert isinstance(red, CrewRow)
    assert (red.id, red.name, red.members, blue.id) == (1, "Red", ["ada", {"agent": 7}], 2)
    assert [(crew.id, crew.name) for crew in await crews.get_all()] == [(1, "Red"), (2, "Blue")]
    changed = await crews.update(1, {"name": "Crimson", "at": "08:00"})
    assert changed is not None
    assert (changed.name, changed.at, changed.members, changed.version) == (
        "Crimson",
        "08:00",
        ["ada", {"agent": 7}],
        3,
    )
    assert (found := await crews.get(1)) is not None
    assert (found.name, found.version) == ("Crimson", 3)
    assert await crews.delete(1) is True
    assert await crews.get(1) is None
    assert [crew.code for crew in await crews.get_all()] == ["blue"]
    names = ["created", "created", "renamed", "scheduled", "deleted"]
    assert await ledger.types(engine, "crews") == names


async def test_what_is_missing_is_none_and_leaves_no_event(crews: CrewRepository, engine: AsyncEngine) -> None:
    assert await crews.get(1) is None
    assert await crews.get_all() == []
    assert await crews.update(1, {"name": "x"}) is None
    assert await crews.delete(1) is False
    assert await ledger.events(engine, "crews") == []


async def test_a_code_is_never_used_again_and_the_error_is_the_crews_own(crews: CrewRepository) -> None:
    await crews.create({"code": "red", "name": "Red"})
    with pytest.raises(DuplicateCrew, match="Choose another code"):
        await crews.create({"code": "red", "name": "Other"})
    await crews.delete(1)
    with pytest.raises(DuplicateCrew, match="deleted"):
        await crews.create({"code": "red", "name": "Other"})


async def test_wrong_fields_are_refused_and_an_empty_update_changes_nothing(crews: CrewRepository) -> None:
    await crews.create({"code": "red", "name": "Red"})
    with pytest.raises(InvalidInput, match="color"):
        await crews.update(1, {"color": "red"})
    unchanged = await crews.update(1, {})
    assert unchanged is not None
    assert unchanged.version == 1


async def test_write_options_hold_for_crews_too(crews: CrewRepository, engine: AsyncEngine) -> None:
    first = await crews.create({"code": "red", "name": "Red"}, command_id="c1")
    again = await crews.create({"code": "red", "name": "Red"}, command_id="c1")
    assert (first.id, again.id) == (1, 1)
    with pytest.raises(VersionConflict):
        await crews.update(1, {"name": "x"}, expected_version=7)
    assert [event.actor for event in await ledger.events(engine, "crews")] == ["ada"]


async def test_crews_and_executions_change_in_one_transaction(session: AsyncSession, engine: AsyncEngine) -> None:
    crews, executions = CrewRepository(session, commit=False), ExecutionRepository(session, commit=False)
    red = await crews.create({"code": "red", "name": "Red"})
    run = await executions.create_execution({"job_id": "run"})
    renamed = await crews.update(1, {"name": "never"})
    assert renamed is None, "it has no id before the flush"
    await session.rollback()
    assert await crews.get_all() == []
    red = await crews.create({"code": "red", "name": "Red"})
    run = await executions.create_execution({"job_id": "run"})
    await session.commit()
    assert (red.id, run.id) == (1, 1)
    assert await ledger.types(engine) == await ledger.types(engine, "crews") == ["created"]
    await ledger.check_ledger(engine)
