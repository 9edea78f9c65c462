"""Ledgers keep apart; who, why, when and in connection with what lands on the events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.domain import InvalidInput, stream_id
from execution_ledger.infrastructure import ExecutionRepository
from support import Door, ledger

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
COLUMNS = ("actor", "reason", "correlation_id", "causation_id", "trace_id", "occurred_at")


async def test_each_ledger_counts_from_one_and_knows_its_own_job_ids(
    session: AsyncSession, engine: AsyncEngine, door: Door
) -> None:
    ledgers = {name: door(session, ledger=name) for name in ("default", "red", "Red", "réd", "r%d")}
    for name, repository in ledgers.items():
        created = await repository.create({"job_id": "job", "message": name})
        assert (created.id, created.ledger_id, created.execution_id) == (1, name, stream_id(name, "job"))
    await ledgers["red"].update_execution(1, {"status": "running"})
    await ledgers["Red"].delete("job")
    for name, repository in ledgers.items():
        executions, total = await repository.get_execution_history()
        assert [each.message for each in executions] == ([] if name == "Red" else [name])
        assert total == len(executions) == len(await repository.get_all())
        found = await repository.get(1)
        assert (found and found.message) == (None if name == "Red" else name)
    assert {name: len(await ledger.events(engine, name)) for name in ledgers} == dict(
        zip(ledgers, (1, 2, 2, 1, 1), strict=True)
    )
    running = []
    for name, repository in ledgers.items():
        _, total = await repository.get_execution_history(status="running")
        running += [name] * total
    assert running == ["red"]


async def test_without_a_ledger_it_is_the_default_one(session: AsyncSession) -> None:
    assert ExecutionRepository(session).ledger == ExecutionRepository(session, ledger=None).ledger == "default"


@pytest.mark.parametrize("name", ["", "x" * 64, 5, "nul\x00"])
def test_a_ledger_with_an_impossible_name_is_refused_at_once(name: str) -> None:
    with pytest.raises(InvalidInput):
        ExecutionRepository(AsyncSession(), ledger=name)


async def test_the_context_of_a_write_lands_on_its_event(repository: ExecutionRepository, engine: AsyncEngine) -> None:
    told = {
        "actor": "ada", "reason": "Because é.", "correlation_id": "order-7", "causation_id": "c-6", "trace_id": TRACE,
        "occurred_at": NOON,
    }  # fmt: skip
    created = await repository.create({"job_id": "job"}, **told)
    await repository.update_execution(1, {"status": "running"}, actor="bob")
    first, second = await ledger.events(engine)
    assert {name: getattr(first, name) for name in COLUMNS} == told
    assert {name: getattr(second, name) for name in COLUMNS} == dict.fromkeys(COLUMNS) | {"actor": "bob"}
    assert created.created_at == NOON, "it began when it happened"
    assert abs(first.recorded_at - datetime.now(UTC)) < timedelta(minutes=1), "it was recorded now"


async def test_the_context_of_a_repository_stands_behind_that_of_each_write(
    session: AsyncSession, engine: AsyncEngine, door: Door
) -> None:
    repository = door(session, actor="worker-1", correlation_id="order-7", reason="nightly")
    await repository.create({"job_id": "job"})
    await repository.update_execution(1, {"status": "running"}, actor="ada", reason=None)
    await repository.delete(1, correlation_id="order-8")
    assert [(event.actor, event.reason, event.correlation_id) for event in await ledger.events(engine)] == [
        ("worker-1", "nightly", "order-7"),
        ("ada", "nightly", "order-7"),
        ("worker-1", "nightly", "order-8"),
    ]


async def test_every_kind_of_write_takes_a_context(repository: ExecutionRepository, engine: AsyncEngine) -> None:
    await repository.create_execution({"job_id": "job"}, actor="1")
    await repository.transition("job", "started", actor="2")
    await repository.start_step("job", "s", actor="3")
    await repository.add_note("job", "n", actor="4")
    await repository.finish_step("job", "s", actor="5")
    await repository.update("job", {"progress": 1}, actor="6")  # type: ignore[arg-type]
    await repository.mark_execution_failed("job", "e", actor="7")
    await repository.report_late_outcome("job", "completed", {"rows": 3}, actor="8")
    await repository.correct_execution("job", {"status": "completed"}, reason="it did", actor="9")
    await repository.delete("job", actor="10")  # type: ignore[arg-type]
    other = await repository.create({})
    await repository.mark_execution_completed(other.id, actor="12")
    actors = [event.actor for event in await ledger.events(engine)]
    assert actors == ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", None, "12"]


@pytest.mark.parametrize(
    "options",
    [
        {"actor": 5}, {"actor": ""}, {"actor": "x" * 256}, {"reason": "x" * 2_001}, {"trace_id": TRACE.upper()},
        {"occurred_at": "soon"}, {"correlation_id": "\x00"}, {"causation_id": "\ud800"}, {"command_id": ""},
        {"command_id": 5}, {"expected_version": -1}, {"expected_version": "1"}, {"expected_version": True},
        {"unheard_of": 1},
    ],
)  # fmt: skip
async def test_a_wrong_option_is_refused_by_name_and_nothing_is_written(
    repository: ExecutionRepository, engine: AsyncEngine, options: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await repository.create({"job_id": "job"}, **options)
    assert {refused.value.field} == options.keys()
    assert await ledger.events(engine) == []


async def test_a_time_without_a_zone_is_utc(repository: ExecutionRepository, engine: AsyncEngine) -> None:
    created = await repository.create({"created_at": datetime(2026, 1, 31, 12)}, occurred_at="2026-01-31T12:00:00")
    assert created.created_at == NOON
    (event,) = await ledger.events(engine)
    assert event.occurred_at == NOON


async def test_a_time_in_another_zone_is_the_same_instant_in_utc(repository: ExecutionRepository) -> None:
    created = await repository.create({"created_at": "2026-01-31T17:45:00+05:45"})
    for execution in (created, await repository.get(1)):
        assert (execution.created_at, execution.created_at.utcoffset()) == (NOON, timedelta(0))


@pytest.mark.parametrize("time", ["0001-01-02T00:00:00Z", "1883-11-18T12:03:58Z", "9999-12-30T23:59:59.999999Z"])
async def test_times_at_the_edges_come_back_whatever_zone_the_server_is_in(
    repository: ExecutionRepository, engine: AsyncEngine, time: str
) -> None:
    created = await repository.create({"created_at": time}, occurred_at=time)
    executions, _ = await repository.get_execution_history(created_from=time)
    (event,) = await ledger.events(engine)
    assert created.created_at == executions[0].created_at == event.occurred_at == datetime.fromisoformat(time)


async def test_the_longest_names_in_the_widest_characters_fit(
    session: AsyncSession, engine: AsyncEngine, door: Door
) -> None:
    clef = "\U0001d11e"
    name = clef * 255
    told = {"actor": name, "correlation_id": name, "causation_id": name, "reason": clef * 2_000}
    repository = door(session, ledger=clef * 63, **told)
    fields = (
        "job_id",
        "run_name",
        "parent_job_id",
        "group_email",
        "trigger_type",
        "execution_type",
        "stop_requested_by",
    )
    await repository.create(dict.fromkeys(fields, name), command_id=name)
    await repository.start_step(name, name, name, kind=name)
    row = await repository.get_execution_by_job_id(name)
    assert {getattr(row, field) for field in fields} == {name}
    assert (await repository.get_execution_history(job_id_prefix=name, run_name_prefix=name, parent_job_id=name))[
        1
    ] == 1
    assert {event.actor for event in await ledger.events(engine, clef * 63)} == {name}
