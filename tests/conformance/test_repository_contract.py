"""The interface of the CRUD repository, call by call, and every fixed point of the design, on each store."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.domain import DuplicateJobId, ExecutionStatus, IllegalTransition, InvalidInput
from execution_ledger.infrastructure import BaseRepository, ExecutionHistory, ExecutionRepository
from support import Door, ledger

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

SEED = {
    "get": {"id": ...},
    "get_all": {},
    "create": {"data": ...},
    "update": {"id": ..., "data": ...},
    "delete": {"id": ...},
    "get_execution_by_job_id": {"job_id": ...},
    "get_execution_history": {"limit": 100, "offset": 0},
    "create_execution": {"data": ...},
    "update_execution": {"execution_id": ..., "data": ...},
    "mark_execution_completed": {"execution_id": ..., "result": None},
    "mark_execution_failed": {"execution_id": ..., "error": ...},
}
"""Methods of the seed, with the names and defaults of their parameters (... where there is none)."""


@pytest.mark.parametrize("name", SEED)
def test_methods_have_the_parameters_of_the_seed_and_others_by_keyword_only(name: str) -> None:
    method = getattr(ExecutionRepository, name)
    assert inspect.iscoroutinefunction(method)
    parameters = list(inspect.signature(method).parameters.values())[1:]
    positional = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert {each.name: ... if each.default is each.empty else each.default for each in positional} == SEED[name]
    assert {each.kind for each in parameters[len(positional) :]} <= {inspect.Parameter.VAR_KEYWORD}


async def test_the_calls_of_the_seed_work_as_they_are_written_there(session: AsyncSession, door: Door) -> None:
    execution_repo = door(session)
    assert isinstance(execution_repo, BaseRepository)
    assert execution_repo.session is session
    assert execution_repo.model is ExecutionHistory
    execution_data = {
        "job_id": "0b5f4d1c",
        "status": ExecutionStatus.PENDING.value,
        "inputs": {"agents_yaml": {}, "planning": False},
        "run_name": "Weekly report",
        "created_at": datetime.now(UTC),
    }
    created = await execution_repo.create_execution(data=execution_data)
    run = await execution_repo.get_execution_by_job_id(job_id="0b5f4d1c")
    assert run is not None
    assert {name: getattr(run, name) for name in execution_data} == execution_data
    assert (run.id, run.result, run.error) == (created.id, None, None)
    changed = await execution_repo.update_execution(run.id, {"status": "running"})
    completed = await execution_repo.mark_execution_completed(run.id, {"answer": 42})
    assert changed is not None
    assert completed is not None
    assert (changed.status, completed.status, completed.result) == ("running", "completed", {"answer": 42})
    assert completed.completed_at is not None
    other = await execution_repo.create_execution({"job_id": "other"})
    failed = await execution_repo.mark_execution_failed(other.id, "boom")
    assert failed is not None
    assert (failed.status, failed.error) == ("failed", "boom")
    executions, total = await execution_repo.get_execution_history(limit=1, offset=0)
    assert ([execution.job_id for execution in executions], total) == (["other"], 2)
    executions, total = await execution_repo.get_execution_history()
    assert (len(executions), total) == (2, 2)


async def test_the_calls_of_the_base_work_as_they_are_written_there(repository: ExecutionRepository) -> None:
    created = await repository.create({"job_id": "a"})
    assert (await repository.update(created.id, {"message": "m"})).message == "m"
    assert (await repository.get(created.id)).message == "m"
    assert [each.job_id for each in await repository.get_all()] == ["a"]
    assert await repository.delete(created.id) is True
    assert await repository.get_all() == []


async def test_what_is_missing_is_none_and_leaves_no_event(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    for number in (1, 99, -1, 0, 2**63 - 1):
        assert await repository.get(number) is None
        assert await repository.update(number, {"status": "running"}) is None
        assert await repository.update_execution(number, {"message": "m"}) is None
        assert await repository.mark_execution_completed(number, {"a": 1}) is None
        assert await repository.mark_execution_failed(number, "e") is None
        assert await repository.delete(number) is False
    for job_id in ("missing", "", "é" * 255):
        assert await repository.get_execution_by_job_id(job_id) is None
    assert await repository.get_execution_history() == ([], 0)
    assert await repository.get_all() == []
    assert await ledger.events(engine) == []


@pytest.mark.parametrize("job_id", [5, None, 1.5, True, b"job"])
async def test_a_job_id_is_text_and_never_taken_for_an_id(repository: ExecutionRepository, job_id: Any) -> None:
    for _ in range(5):
        await repository.create({})
    with pytest.raises(InvalidInput) as refused:
        await repository.get_execution_by_job_id(job_id)
    assert refused.value.field == "job_id"


@pytest.mark.parametrize("id", [None, 1.5, True, b"1", 2**63])
async def test_an_id_is_an_integer(repository: ExecutionRepository, id: Any) -> None:
    for ask in (repository.get, repository.delete, lambda id: repository.update_execution(id, {"message": "m"})):
        with pytest.raises(InvalidInput) as refused:
            await ask(id)
        assert refused.value.field == "id"


async def test_an_offset_past_the_end_gives_no_rows_and_the_total(repository: ExecutionRepository) -> None:
    for _ in range(3):
        await repository.create({})
    assert await repository.get_execution_history(offset=3) == ([], 3)
    assert await repository.get_execution_history(10, 10**9) == ([], 3)
    assert await repository.get_execution_history(0) == ([], 3)


async def test_the_newest_comes_first_and_of_equal_times_the_highest_id(repository: ExecutionRepository) -> None:
    times = [NOON, NOON + timedelta(hours=1), NOON, NOON - timedelta(microseconds=1), NOON, NOON + timedelta(hours=1)]
    for time in times:
        await repository.create({"created_at": time})
    executions, _ = await repository.get_execution_history()
    assert [execution.id for execution in executions] == [6, 2, 5, 3, 1, 4]


async def test_pages_of_equal_timestamps_do_not_overlap_and_leave_nothing_out(repository: ExecutionRepository) -> None:
    for _ in range(10):
        await repository.create({"created_at": NOON})
    pages = [await repository.get_execution_history(limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [execution.id for page, _ in pages for execution in page] == list(range(10, 0, -1))
    assert {total for _, total in pages} == {10}


async def test_an_execution_created_without_job_id_and_status_is_pending_with_one(
    repository: ExecutionRepository,
) -> None:
    first, second = await repository.create_execution({}), await repository.create_execution({"status": None})
    assert (first.status, second.status, first.attempt) == ("pending", "pending", 1)
    assert len({first.job_id, second.job_id, ""}) == 3
    assert (await repository.get_execution_by_job_id(first.job_id)).id == first.id


async def test_a_duplicate_job_id_is_refused_and_changes_nothing(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    await repository.create_execution({"job_id": "job"})
    before = await ledger.everything(engine)
    with pytest.raises(DuplicateJobId) as refused:
        await repository.create_execution({"job_id": "job", "status": "running"})
    assert (refused.value.key, refused.value.ledger, refused.value.deleted) == ("job", "default", False)
    assert await ledger.everything(engine) == before
    assert (await repository.create_execution({})).id == 2, "no number was lost"


async def test_an_unknown_key_is_an_error_that_names_it_and_changes_nothing(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    execution = await repository.create_execution({"job_id": "job"})
    before = await ledger.everything(engine)
    for attempt in (
        repository.create_execution({"color": "red"}),
        repository.update_execution(execution.id, {"status": "running", "color": "red"}),
        repository.update(execution.id, {"color": "red"}),
    ):
        with pytest.raises(InvalidInput, match="color"):
            await attempt
    with pytest.raises(InvalidInput, match="priority"):
        await repository.update(execution.id, {}, priority=1)  # type: ignore[call-arg]
    assert await ledger.everything(engine) == before


async def test_an_empty_update_changes_nothing_and_appends_nothing(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    created = await repository.create_execution({"job_id": "job"})
    before = await ledger.everything(engine)
    for changes in ({}, {"status": "PENDING"}, {"completed_at": None}):
        same = await repository.update_execution(created.id, changes)
        assert (same.version, same.updated_at, same.status) == (1, created.updated_at, "pending")
    assert await ledger.everything(engine) == before


@pytest.mark.parametrize("nothing", [None, {}])
async def test_completing_with_no_result_keeps_an_earlier_one(repository: ExecutionRepository, nothing: Any) -> None:
    execution = await repository.create_execution({"result": {"rows": 3}})
    completed = await repository.mark_execution_completed(execution.id, nothing)
    assert (completed.status, completed.result) == ("completed", {"rows": 3})


async def test_completing_with_a_result_replaces_an_earlier_one(repository: ExecutionRepository) -> None:
    execution = await repository.create_execution({"result": {"rows": 3}})
    assert (await repository.mark_execution_completed(execution.id, {"rows": 4})).result == {"rows": 4}


async def test_failing_keeps_an_earlier_result(repository: ExecutionRepository) -> None:
    execution = await repository.create_execution({"result": {"rows": 3}})
    failed = await repository.mark_execution_failed(execution.id, "disk full")
    assert (failed.result, failed.error, failed.message) == ({"rows": 3}, "disk full", None)


async def test_an_update_of_the_status_is_a_transition_and_obeys_the_table(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    execution = await repository.create_execution({})
    for status in ("PREPARING", "running", "Stopping", "stopped"):
        assert (await repository.update_execution(execution.id, {"status": status})).status == status.lower()
    before = await ledger.everything(engine)
    for attempt in (
        repository.update_execution(execution.id, {"status": "completed"}),
        repository.mark_execution_completed(execution.id, {"a": 1}),
        repository.mark_execution_failed(execution.id, "late"),
        repository.update(execution.id, {"status": "running"}),
    ):
        with pytest.raises(IllegalTransition):
            await attempt
    assert await ledger.everything(engine) == before
    assert await ledger.types(engine) == ["created", "prepared", "started", "stop_requested", "stopped"]


async def test_a_deleted_execution_leaves_the_history_and_its_events_stay(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    execution = await repository.create_execution({"job_id": "job"})
    assert await repository.delete(execution.id, reason="a trial") is True
    assert await repository.get(execution.id) is None
    assert await repository.get_execution_by_job_id("job") is None
    assert await repository.get_execution_history() == ([], 0)
    assert await repository.update_execution(execution.id, {"message": "m"}) is None
    assert await repository.delete(execution.id) is False
    stored = await ledger.events(engine)
    assert [(event.type, event.reason) for event in stored] == [
        ("execution.created", None),
        ("execution.deleted", "a trial"),
    ]


async def test_neither_id_nor_job_id_is_ever_used_again(repository: ExecutionRepository) -> None:
    first = await repository.create_execution({"job_id": "job"})
    await repository.delete(first.id)
    with pytest.raises(DuplicateJobId) as refused:
        await repository.create_execution({"job_id": "job"})
    assert refused.value.deleted is True
    assert (await repository.create_execution({})).id == 2


async def test_every_column_comes_back_as_it_was_given(repository: ExecutionRepository) -> None:
    given: dict[str, Any] = {
        "job_id": "jöb \U0001f680 '\"%_\\", "status": "running",
        "inputs": {"b": 1.0, "a": [None, True, "é"], "n": -(2**63)},
        "result": [1, 2.5, {"x": {}}], "error": "e\nf", "message": "", "run_name": "r", "trigger_type": "cron",
        "execution_type": "crew", "parent_job_id": "parent", "attempt": 2**63 - 1, "progress": 0.25,
        "created_at": NOON, "started_at": NOON + timedelta(microseconds=1), "stop_reason": "s",
        "stop_requested_by": "ada", "partial_results": "text", "group_email": "g@example.org",
        "attributes": {"k": 0.1, "": False, "z": 1e300, "deep": {"er": [[]]}},
    }  # fmt: skip
    created = await repository.create_execution(given)
    read = await repository.get(created.id)
    for execution in (created, read):
        assert {name: getattr(execution, name) for name in given} == given
        assert list(execution.inputs) == ["b", "a", "n"]
        assert type(execution.inputs["b"]) is float
        times = (execution.created_at, execution.started_at, execution.updated_at)
        assert [time.utcoffset() for time in times] == [timedelta(0)] * 3
        assert (execution.completed_at, execution.late_outcome, execution.version) == (None, None, 1)


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, "text", 1.5])
async def test_any_json_value_can_be_a_result_or_an_input(repository: ExecutionRepository, value: Any) -> None:
    created = await repository.create_execution({"inputs": value, "result": value})
    read = await repository.get(created.id)
    for execution in (created, read):
        assert (execution.inputs, execution.result) == (value, value)
        assert type(execution.inputs) is type(value)
