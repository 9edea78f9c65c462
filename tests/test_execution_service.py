"""`ExecutionService`: the seed's calls unchanged, names for runs, and errors that reach the caller. On both stores."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from execution_ledger.domain import CommandIdReused, DuplicateJobId, InvalidInput
from execution_ledger.infrastructure import ExecutionRepository
from execution_ledger.infrastructure.execution_service import ExecutionService
from execution_ledger.infrastructure.run_names import MAX_LENGTH, describe_run


class CrewConfig(BaseModel):
    agents_yaml: dict[str, Any] = {"researcher": {"role": "Senior Researcher"}, "writer": {}}
    tasks_yaml: dict[str, Any] = {"find": {}, "tell": {}}
    model: str = "gpt-x"
    started: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def db(sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


async def test_the_calls_of_the_seed_work_unchanged(db: AsyncSession) -> None:
    before = datetime.now(UTC)
    created = await ExecutionService(db).create_execution(CrewConfig(), None)
    assert created.keys() == {"execution_id", "status", "run_name"}
    assert created["status"] == "pending"
    assert created["run_name"] == "researcher, writer: find, tell (gpt-x)"
    assert UUID(created["execution_id"])

    told = await ExecutionService.get_execution_status(db, created["execution_id"])
    assert told is not None
    assert told.keys() == {"execution_id", "status", "created_at", "result", "run_name", "error"}
    assert (told["execution_id"], told["status"]) == (created["execution_id"], "pending")
    assert before <= told["created_at"] <= datetime.now(UTC)
    assert (told["result"], told["error"]) == (None, None)
    assert await ExecutionService.get_execution_status(db, "nobody") is None


async def test_the_configuration_is_recorded_as_the_inputs(db: AsyncSession) -> None:
    @dataclasses.dataclass
    class Config:
        name: str = "report"

    service, executions = ExecutionService(db), ExecutionRepository(db)
    for config, inputs in (
        (CrewConfig(), CrewConfig().model_dump(mode="json")),
        (Config(), {"name": "report"}),
        ({"job": "report", "depth": 3}, {"job": "report", "depth": 3}),
    ):
        created = await service.create_execution(config)
        found = await executions.get_execution_by_job_id(created["execution_id"])
        assert found is not None
        assert found.inputs == inputs


async def test_a_status_follows_its_execution(db: AsyncSession) -> None:
    service, executions = ExecutionService(db), ExecutionRepository(db)
    await service.create_execution({"name": "a"}, execution_id="j")
    await executions.mark_execution_completed("j", {"rows": 7})
    told = await service.get_status("j")
    assert told is not None
    assert (told["status"], told["result"], told["error"]) == ("completed", {"rows": 7}, None)
    await service.create_execution({"name": "b"}, execution_id="k")
    await executions.mark_execution_failed("k", "broken")
    told = await service.get_status("k")
    assert told is not None
    assert (told["status"], told["error"]) == ("failed", "broken")
    assert await service.get_status("nobody") is None


async def test_a_service_keeps_to_its_ledger_and_its_context(db: AsyncSession) -> None:
    service = ExecutionService(db, ledger="team", actor="ada")
    details = {"trigger_type": "manual", "attributes": {"n": 1}}
    await service.create_execution({}, execution_id="j", details=details, reason="asked")
    assert await ExecutionService(db).get_status("j") is None
    assert await ExecutionService.get_execution_status(db, "j") is None
    assert await ExecutionService.get_execution_status(db, "j", ledger="team") is not None
    found = await ExecutionRepository(db, ledger="team").get_execution_by_job_id("j")
    assert found is not None
    assert (found.trigger_type, found.attributes, found.run_name) == ("manual", {"n": 1}, "run")


async def test_a_name_can_come_from_elsewhere(db: AsyncSession) -> None:
    async def name_run(config: CrewConfig) -> str:
        return f"by {config.model}"

    service = ExecutionService(db, name_run=name_run)
    assert (await service.create_execution(CrewConfig()))["run_name"] == "by gpt-x"
    named = await service.create_execution(CrewConfig(), details={"run_name": "mine"})
    assert named["run_name"] == "mine"


async def test_errors_reach_the_caller_and_nothing_is_recorded(db: AsyncSession) -> None:
    async def broken(_: Any) -> str:
        raise RuntimeError("no model answers")

    with pytest.raises(RuntimeError, match="no model answers"):
        await ExecutionService(db, name_run=broken).create_execution({})
    service = ExecutionService(db)
    with pytest.raises(InvalidInput, match="config: list is not a configuration"):
        await service.create_execution([])
    with pytest.raises(InvalidInput, match="nonsense"):
        await service.create_execution({}, details={"nonsense": 1})
    with pytest.raises(InvalidInput, match="job_id"):
        await service.get_status("x" * 300)
    assert await ExecutionRepository(db).get_execution_history() == ([], 0)
    await service.create_execution({}, execution_id="j")
    with pytest.raises(DuplicateJobId):
        await service.create_execution({}, execution_id="j")


async def test_the_same_command_sent_again_answers_with_the_same_execution(db: AsyncSession) -> None:
    service = ExecutionService(db)
    first = await service.create_execution({"name": "a"}, command_id="c")
    assert await service.create_execution({"name": "a"}, command_id="c") == first
    with pytest.raises(CommandIdReused):
        await service.create_execution({"name": "b"}, command_id="c")


async def test_without_commit_it_waits_for_the_callers(db: AsyncSession) -> None:
    await ExecutionService(db, commit=False).create_execution({}, execution_id="j")
    await db.rollback()
    assert await ExecutionService(db).get_status("j") is None
    await ExecutionService(db, commit=False).create_execution({}, execution_id="j")
    await db.commit()
    assert await ExecutionService(db).get_status("j") is not None


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({}, "run"),
        ({"model": "gpt-x"}, "run with gpt-x"),
        ({"name": " nightly\n report "}, "nightly report"),
        ({"job": {"name": "report"}, "model": "m"}, "report (m)"),
        ({"crew": "c", "flow": "f"}, "c"),
        ({"agents": ["ada", "bob", "cyd", "dee", "eve"]}, "ada, bob, cyd, +2"),
        ({"agents": [{"role": "Critic"}], "tasks": "judge"}, "Critic: judge"),
        ({"tasks_yaml": {"find": {}}}, "find"),
        ({"name": 7, "agents": None, "tasks": [None, 1]}, "run"),
        ({"name": "a\ud800\x00b"}, "a b"),
    ],
)
def test_a_name_is_made_from_what_the_configuration_holds(config: dict[str, Any], name: str) -> None:
    assert describe_run(config) == name


def test_a_name_is_bounded_and_always_the_same() -> None:
    config = {"agents": ["a" * 80], "tasks": ["b" * 80], "model": "m" * 80}
    assert describe_run(config) == describe_run(dict(config))
    assert len(describe_run(config)) == MAX_LENGTH
    assert len(describe_run({"name": "n" * 80})) == MAX_LENGTH


async def test_a_job_id_among_the_details_is_kept(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session:
        service = ExecutionService(session)
        assert (await service.create_execution({}, details={"job_id": "mine"}))["execution_id"] == "mine"
        with pytest.raises(InvalidInput, match="job_id"):
            await service.create_execution({}, execution_id="one", details={"job_id": "another"})


async def test_a_repeatable_command_is_not_named_anew(sessions: async_sessionmaker[AsyncSession]) -> None:
    async def name_run(_: object) -> str:
        return "a name"

    async with sessions() as session:
        service = ExecutionService(session, name_run=name_run)
        with pytest.raises(InvalidInput, match="run_name"):
            await service.create_execution({}, command_id="c1")
        for _ in range(2):
            made = await service.create_execution({}, command_id="c1", details={"run_name": "given"})
            assert made["run_name"] == "given"
