"""What an append leaves in the tables, and what it costs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput, Limits, PayloadTooLarge
from execution_ledger.infrastructure import EventStore, ExecutionRepository, compute_root, create_engine
from execution_ledger.infrastructure.tables import execution_events, execution_steps
from support import Database, Door, ledger
from support.examples import examples
from support.wire import tapped

Sessions = async_sessionmaker[AsyncSession]


def naive_root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


async def a_little_of_everything(session: AsyncSession, door: Door = ExecutionRepository) -> None:
    repository = door(session, actor="ada", reason="é\n\u2028", occurred_at="2026-01-31T12:00:00+05:45")
    unit = ExecutionRepository(
        session, commit=False, correlation_id="order-7", trace_id="4bf92f3577b34da6a3ce929d0e0e4736"
    )
    await repository.create({"job_id": "a", "inputs": {"text": 'é "\\ \x7f 𝄞', "float": 1.0}}, command_id="c1")
    await repository.create({"status": "running"})
    await repository.update_execution("a", {"status": "running"}, causation_id="c1")
    await unit.start_step("a", "s")
    await unit.create({"job_id": "b"})
    await unit.finish_step("a", "s", "failed", error="e")
    await unit.add_note("b", "n")
    await session.commit()
    await repository.mark_execution_completed("a", {"rows": 3})
    await repository.delete("b")
    await repository.correct_execution("a", {"status": "failed"}, reason="r")


async def test_positions_versions_counters_and_rows_agree(
    session: AsyncSession, engine: AsyncEngine, door: Door
) -> None:
    await a_little_of_everything(session, door)
    stored = await ledger.events(engine)
    assert [(each.position, each.version, each.type.partition(".")[2]) for each in stored] == [
        (1, 1, "created"), (2, 1, "created"), (3, 2, "started"), (4, 3, "step_started"), (5, 4, "step_finished"),
        (6, 1, "created"), (7, 2, "noted"), (8, 5, "completed"), (9, 3, "deleted"), (10, 6, "corrected"),
    ]  # fmt: skip
    head = await ledger.head(engine)
    counters = {
        name: head[name] for name in ("size", "last_id", "executions", "running", "failed", "completed", "pending")
    }
    assert counters == {
        "size": 10,
        "last_id": 3,
        "executions": 2,
        "running": 1,
        "failed": 1,
        "completed": 0,
        "pending": 0,
    }
    (step,) = await ledger.rows(engine, select(execution_steps))
    assert (step.step_id, step.outcome, step.name, step.parent_step_id) == ("s", "failed", "s", None)
    await ledger.check_all(engine)


async def test_digests_and_leaves_are_those_of_the_stored_rows(session: AsyncSession, engine: AsyncEngine) -> None:
    await a_little_of_everything(session)

    def stamp(time: datetime | None) -> str | None:
        return time and time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    leaves = []
    for row in await ledger.events(engine):
        assert len(row.salt) == 16
        assert row.payload_digest == sha256(row.salt + row.data.encode()).digest()
        members = {name: getattr(row, name) for name in row._fields} | {
            "execution_id": str(row.execution_id),
            "payload_digest": row.payload_digest.hex(),
            "recorded_at": stamp(row.recorded_at),
            "occurred_at": stamp(row.occurred_at),
        }
        for left_out in ("position", "data", "salt", "leaf_hash"):
            del members[left_out]
        form = json.dumps(members, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        assert row.leaf_hash == sha256(b"\x00" + form.encode()).digest()
        leaves.append(row.leaf_hash)
    assert len(set(leaves)) == 10
    async with engine.connect() as connection:
        for size in range(11):
            computed = await connection.run_sync(compute_root, "default", size)
            assert (computed.size, computed.root) == (size, naive_root(leaves[:size]))
        assert (await connection.run_sync(compute_root, "default")).root == naive_root(leaves)
        assert (await connection.run_sync(compute_root, "no such ledger")).root == naive_root([])
        with pytest.raises(InvalidInput, match="11 is more than the ledger's 10 events"):
            await connection.run_sync(compute_root, "default", 11)


async def test_streams_are_named_by_ledger_and_job_id_alone(session: AsyncSession) -> None:
    created = await ExecutionRepository(session, ledger="red").create({"job_id": "job"})
    namespace = UUID("6f0e3f6c-2c8e-5d0b-9a53-8f1e0a6f7b11")
    assert created.execution_id == uuid5(uuid5(namespace, "red"), "job")


async def test_payloads_are_plain_json_kept_byte_for_byte(repository: ExecutionRepository, engine: AsyncEngine) -> None:
    inputs = {"z": 1.0, "a": [1e22, -0.0, 0.1, 2**53 + 1, None, True], "": 'é\u2028"\\/\t\x7f𝄞'}
    await repository.create({"job_id": "job", "created_at": "2026-01-31T12:00:00Z", "inputs": inputs})
    (row,) = await ledger.events(engine)
    assert row.data == (
        '{"job_id":"job","status":"pending","inputs":{"z":1.0,"a":[1e22,-0.0,0.1,9007199254740993,null,true],'
        '"":"é\u2028\\"\\\\/\\t\x7f𝄞"},"attempt":1,"created_at":"2026-01-31T12:00:00Z"}'
    )
    async with engine.connect() as connection:
        raw = (await connection.exec_driver_sql("SELECT data FROM execution_events")).scalar_one()
    assert raw == row.data
    assert (await repository.get(1)).inputs == inputs


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(json_values, min_size=1, max_size=20))
async def test_any_json_comes_back_the_same(session: AsyncSession, values: list[Any]) -> None:
    unit = ExecutionRepository(session, commit=False)
    created = [await unit.create({"inputs": value, "attributes": {"k": value}}) for value in values]
    await session.commit()
    for value, each in zip(values, created, strict=True):
        read = await unit.get(each.id)
        assert (repr(read.inputs), repr(read.attributes)) == (repr(value), repr({"k": value}))


async def test_a_payload_over_the_limit_is_refused_and_nothing_is_written(
    repository: ExecutionRepository, engine: AsyncEngine
) -> None:
    await repository.create({"job_id": "job"})
    before = await ledger.everything(engine)
    large = "x" * 10_000_000
    unit = ExecutionRepository(repository.session, commit=False)
    for attempt in (
        lambda: repository.create({"inputs": large}),
        lambda: repository.mark_execution_completed(1, {"text": large}),
        lambda: repository.mark_execution_failed(1, large),
        lambda: repository.add_note(1, large),
        lambda: unit.update_execution(1, {"attributes": {"k": large}}),
    ):
        with pytest.raises(PayloadTooLarge, match="8,388,608") as refused:
            await attempt()
        assert "10,000," in refused.value.problem
        assert "payload_bytes" in refused.value.remedy
        await repository.session.commit()
    assert await ledger.everything(engine) == before


async def test_a_payload_just_under_the_limit_comes_back_whole(repository: ExecutionRepository) -> None:
    text = "é" * 4_190_000
    await repository.create({"job_id": "job"})
    completed = await repository.mark_execution_completed(1, {"text": text})
    assert completed.result == (await repository.get(1)).result == {"text": text}


async def test_the_limit_is_a_setting_and_counts_bytes(session: AsyncSession, engine: AsyncEngine, door: Door) -> None:
    repository = door(session, store=EventStore(limits=Limits(payload_bytes=100)))
    await repository.create({"job_id": "job"})
    await repository.add_note(1, "x")
    fits = 100 - len((await ledger.events(engine))[1].data) + 1
    await repository.add_note(1, "x" * fits)
    for text in ("x" * (fits + 1), "é" * (fits // 2 + 1)):
        with pytest.raises(PayloadTooLarge):
            await repository.add_note(1, text)
    assert [len(each.data) for each in await ledger.events(engine)][2:] == [100]


async def test_an_event_is_never_recorded_before_the_last_one_of_its_execution(
    session: AsyncSession, engine: AsyncEngine
) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    now = noon
    store = EventStore(clock=lambda: now)
    for commit in (True, False):
        repository = ExecutionRepository(session, store=store, commit=commit, ledger=f"commit={commit}")
        await repository.create({"job_id": "job"})
        for hours in (2, 1, -5, 3):
            now = noon + timedelta(hours=hours)
            await repository.add_note("job", "n")
        now = noon
        await repository.create({"job_id": "other"})
        await session.commit()
        times = [each.recorded_at for each in await ledger.events(engine, repository.ledger)]
        assert times == [noon + timedelta(hours=hours) for hours in (0, 2, 2, 2, 3, 0)]
        assert (await repository.get("job")).updated_at == noon + timedelta(hours=3)


async def test_a_write_costs_one_statement_and_a_read_only_where_it_must(
    database: Database, session: AsyncSession
) -> None:
    engine = session.get_bind()
    repository = ExecutionRepository(session)
    await repository.create({"job_id": "job"})
    counted: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: counted.append(arguments[2]))
    for reads, write in (
        (0, lambda: repository.create({"job_id": "other"})),
        (0, lambda: repository.update_execution(1, {"status": "running"})),
        (1, lambda: repository.start_step(1, "s")),
        (1, lambda: repository.finish_step("job", "s")),
        (0, lambda: repository.add_note(1, "n", command_id="c1")),
        (0, lambda: repository.mark_execution_completed(1, {"rows": 3})),
        (0, lambda: repository.delete(1)),
    ):
        counted.clear()
        await write()
        kinds = [statement.split()[0] for statement in counted]
        if database.kind == "postgresql":
            assert kinds == [*["SELECT"] * reads, "WITH"]
        else:
            assert kinds[:2] == ["BEGIN", "SELECT"]
            assert len(kinds) < 10


@pytest.mark.store("postgresql")
async def test_a_write_outside_of_a_transaction_sends_one_statement_and_neither_begin_nor_commit(
    database: Database,
) -> None:
    async with tapped(database.url) as wire:
        engine = create_engine(wire.url)
        async with AsyncSession(engine) as session:
            repository = ExecutionRepository(session)
            await repository.create({"job_id": "job"})
            for number in range(20):  # enough for the driver to prepare them
                wire.statements.clear()
                await repository.add_note("job", f"{number}")
                assert [statement.split()[0] for statement in wire.statements] == ["WITH"]
            wire.statements.clear()
            async with session.begin():
                await ExecutionRepository(session, commit=False).add_note("job", "in a transaction")
            kinds = [statement.split()[0] for statement in wire.statements]
            assert (kinds[0], kinds[-1]) == ("BEGIN", "COMMIT"), "the proxy would have seen them"
        await engine.dispose()


async def test_a_write_costs_the_same_after_many_events(session: AsyncSession, database: Database) -> None:
    engine = session.get_bind()
    unit = ExecutionRepository(session, commit=False)
    await unit.create({"job_id": "job", "result": "x" * 1_000_000})
    for number in range(300):
        await unit.add_note("job", f"{number}")
    await session.commit()
    fetched: list[Any] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: fetched.append(arguments[2]))
    await ExecutionRepository(session).add_note("job", "one more")
    reads = [statement for statement in fetched if statement.startswith("SELECT")]
    assert not any("execution_events" in statement for statement in reads), "no event is read to decide"


async def test_the_events_of_an_execution_are_found_by_its_id(session: AsyncSession, engine: AsyncEngine) -> None:
    await a_little_of_everything(session)
    column = execution_events.c
    created = (await ledger.events(engine))[0]
    statement = select(column.version).where(column.ledger_id == "default", column.execution_id == created.execution_id)
    assert [row.version for row in await ledger.rows(engine, statement.order_by(column.version))] == [1, 2, 3, 4, 5, 6]
