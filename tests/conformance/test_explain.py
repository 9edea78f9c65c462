"""The hot questions use their index on 120,000 skewed rows, with the planner's settings as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.infrastructure import ExecutionRepository, create_engine
from execution_ledger.infrastructure.history_query import Cursor
from execution_ledger.projections import LedgerQueries
from support.postgres import Server
from support.skewed import ROWS, TABLES, Ask, fill, plans

pytestmark = pytest.mark.store("postgresql")


@pytest.fixture(scope="module")
def filled(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    url = postgres_server.create_database(postgres_template)
    fill(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def full_engine(filled: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(filled)
    yield engine
    await engine.dispose()


def _events(**filters: Any) -> Ask:
    return lambda session: LedgerQueries(session).events(**filters)


def _history(**filters: Any) -> Ask:
    return lambda session: ExecutionRepository(session).get_execution_history(**filters)


def _under_way(at: str, **filters: Any) -> Ask:
    """The second page of those that began before a time and ended later."""
    cursor = Cursor(datetime.fromisoformat(at), 2**62).encode()
    return lambda session: ExecutionRepository(session).get_execution_page(
        1_000, cursor, ended_from=at, created_before=at, **filters
    )


def _page(at: int) -> Ask:
    created = datetime(2026, 1, 1, tzinfo=UTC).timestamp() + at
    cursor = Cursor(datetime.fromtimestamp(created, UTC), at).encode()
    return lambda session: ExecutionRepository(session).get_execution_page(100, cursor)


@pytest.mark.parametrize(
    ("index", "ask"),
    [
        ("execution_history_job_id_key", lambda session: ExecutionRepository(session).get_execution_by_job_id("job-9")),
        ("execution_history_pkey", lambda session: ExecutionRepository(session).get(9)),
        ("execution_history_created_at", _history()),
        ("execution_history_created_at", _page(ROWS // 2)),
        (
            "execution_history_created_at",
            _history(created_from="2026-01-01T01:00Z", created_before="2026-01-01T02:00Z"),
        ),
        ("execution_history_completed_at", _history(ended_from="2026-01-01T01:00Z", ended_before="2026-01-01T02:00Z")),
        ("execution_history_completed_at", _under_way("2026-01-03T18:00Z")),
        ("execution_history_completed_at", _under_way("2026-01-03T18:00Z", run_name_prefix="nightly-")),
        ("execution_history_created_at", _history(ended_from="2026-01-01T01:00Z")),
        ("execution_history_status_created_at", _history(status="running")),
        ("execution_history_job_id_key", _history(job_id_prefix="job-777")),
        ("execution_history_run_name", _history(run_name_prefix="rare-")),
        ("execution_history_run_name", _history(prefix="rare-")),
        ("execution_history_job_id_key", _history(prefix="job-777")),
        ("execution_history_parent_job_id", _history(parent_job_id="parent-3")),
        ("execution_history_attributes", _history(attributes={"team": "rare"})),
        ("execution_events_pkey", _events()),
        ("execution_events_pkey", _events(before=ROWS // 2)),
        ("execution_events_actor", _events(actor="ada")),
        ("execution_events_type", _events(type="corrected")),
        (
            "execution_events_recorded_at",
            _events(recorded_from="2026-01-01T01:00Z", recorded_before="2026-01-01T01:01Z"),
        ),
        ("execution_events_correlation_id", _events(correlation_id="work-7")),
        ("execution_events_trace_id", _events(trace_id="c4ca4238a0b923820dcc509a6f75849b")),
        ("execution_events_version_key", _events(job_id="job-9")),
    ],
)
async def test_a_question_uses_its_index(full_engine: AsyncEngine, index: str, ask: Ask) -> None:
    plan = await plans(full_engine, ask, "SELECT")
    assert f" {index} " in plan, plan
    assert "Seq Scan on execution_history" not in plan, plan
    assert "Seq Scan on execution_events" not in plan, plan


async def test_an_append_reads_and_writes_by_key(full_engine: AsyncEngine) -> None:
    def write(name: str) -> Ask:
        async def commands(session: AsyncSession) -> None:
            repository = ExecutionRepository(session)
            await repository.create_execution({"job_id": name}, command_id=f"{name} 1")
            await repository.start_step(name, "s")
            await repository.finish_step(name, "s", command_id=f"{name} 2")
            await repository.update_execution(ROWS - 9, {"message": "m"}, command_id=f"{name} 3")
            await repository.finish_step(ROWS - (7 if name == "read" else 8), "open")

        return commands

    read = await plans(full_engine, write("read"), "SELECT")
    appended = await plans(full_engine, write("append"), "WITH")
    keys = ("ledgers_pkey", "execution_streams_pkey", "execution_steps_pkey")
    for index in (*keys, "execution_streams_id_key", "command_receipts_pkey"):
        assert f" {index} " in read, read
    for index in (*keys, "execution_history_pkey"):
        assert f" {index} " in appended, appended
    for table in TABLES:
        assert f"Seq Scan on {table}" not in read + appended


@pytest.mark.parametrize("only", ["SELECT", "UPDATE", "DELETE"])
async def test_leases_are_reached_by_key_and_expired_ones_in_the_order_of_the_keys(
    full_engine: AsyncEngine, only: str
) -> None:
    async def work(session: AsyncSession) -> None:
        repository = ExecutionRepository(session)
        created = await repository.create_execution({"job_id": f"leased for {only}"})
        lease = await repository.take_lease(created.id, holder="a")
        await repository.release_lease(await repository.renew_lease(lease))
        (reaped,) = await repository.reap_expired_leases(limit=1)
        assert reaped.holder == "w"

    plan = await plans(full_engine, work, only)
    assert " execution_leases_pkey " in plan, plan
    for table in TABLES:
        assert f"Seq Scan on {table}" not in plan, plan


async def test_appends_scan_no_large_table_once_their_statements_are_prepared(full_engine: AsyncEngine) -> None:
    scans = text(f"SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname IN ({', '.join(map(repr, TABLES))})")
    async with full_engine.connect() as connection:
        before = (await connection.execute(scans)).scalar()
    async with AsyncSession(full_engine) as session:
        repository = ExecutionRepository(session)
        for number in range(20):  # the driver prepares after five, and the server may then plan without the values
            await repository.update_execution(number + 1, {"message": "m"})
            await repository.add_note(f"job-{number + 1}", "n", command_id=f"note {number}")
            await repository.finish_step(number + 1, "open")
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
    async with full_engine.connect() as connection:
        assert (await connection.execute(scans)).scalar() == before
