"""The hot questions use their index on 120,000 skewed rows, with the planner's settings as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import create_engine as create_plain_engine
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import ExecutionRepository, create_engine
from execution_ledger.infrastructure.history_query import Cursor
from execution_ledger.projections import LedgerQueries
from support.postgres import Server

pytestmark = pytest.mark.store("postgresql")

ROWS = 120_000
START = "timestamptz '2026-01-01 00:00:00+00'"
# Skewed as real ledgers are: most runs completed, few failed; one actor did nearly everything, others next to nothing.
FILL = (
    f"""
INSERT INTO ledgers (ledger_id, size, last_id, executions, completed, failed, running, created_at)
SELECT 'default', {ROWS}, {ROWS}, {ROWS}, {ROWS} - 260, 240, 20, {START}""",
    f"""
INSERT INTO execution_streams (ledger_id, execution_id, id, job_id, version, status, last_recorded_at, deleted)
SELECT 'default', md5(n::text)::uuid, n, 'job-' || n, 1, 'completed', {START} + n * interval '1 second', false
FROM generate_series(1, {ROWS}) n""",
    f"""
INSERT INTO execution_history (ledger_id, id, job_id, execution_id, version, status, inputs, run_name, parent_job_id,
    attempt, created_at, updated_at, completed_at, attributes)
SELECT 'default', n, 'job-' || n, md5(n::text)::uuid, 1,
    CASE WHEN n % 6000 = 1 THEN 'running' WHEN n % 500 = 0 THEN 'failed' ELSE 'completed' END,
    '{{"month":"2026-10","rows":[1,2,3]}}', CASE WHEN n % 1000 = 0 THEN 'rare-' ELSE 'nightly-' END || n,
    CASE WHEN n % 900 = 0 THEN 'parent-' || n / 9000 END, 1, {START} + n * interval '1 second',
    {START} + n * interval '1 second', CASE WHEN n % 6000 <> 1 THEN {START} + n * interval '2 seconds' END,
    CASE WHEN n % 700 = 0 THEN '{{"team":"rare"}}' ELSE '{{"team":"many"}}' END
FROM generate_series(1, {ROWS}) n""",
    f"""
INSERT INTO execution_events (ledger_id, position, execution_id, version, type, schema_version, data, salt,
    payload_digest, leaf_hash, recorded_at, actor, correlation_id, trace_id)
SELECT 'default', n, md5(n::text)::uuid, 1,
    CASE WHEN n % 2000 = 0 THEN 'execution.corrected' ELSE 'execution.completed' END, 1, '{{"status":"completed"}}',
    decode(md5(n::text), 'hex'), decode(md5(n::text), 'hex'), decode(md5(n::text), 'hex'),
    {START} + n * interval '1 second', CASE WHEN n % 800 = 0 THEN 'ada' WHEN n % 3 > 0 THEN 'scheduler' END,
    CASE WHEN n % 5 = 0 THEN 'work-' || n / 50 END, CASE WHEN n % 4 = 0 THEN md5((n / 40)::text) END
FROM generate_series(1, {ROWS}) n""",
    f"""
INSERT INTO ledgers (ledger_id, created_at) SELECT 'ledger-' || n, {START} FROM generate_series(1, 5000) n""",
    f"""
INSERT INTO execution_steps (ledger_id, execution_id, step_id, name, started_at)
SELECT 'default', md5(n::text)::uuid, 'open', 'open', {START} FROM generate_series(1, {ROWS}) n""",
    f"""
INSERT INTO execution_leases (ledger_id, execution_id, token, holder, taken_at, expires_at)
SELECT 'default', md5(n::text)::uuid, 0, 'w', {START}, {START} FROM generate_series(1, {ROWS}) n""",
    f"""
INSERT INTO command_receipts (ledger_id, command_id, fingerprint, event_count, outcome, recorded_at)
SELECT 'default', 'command-' || n, '', 0, '{{}}', {START} + n * interval '1 second'
FROM generate_series(1, {ROWS}) n""",
    "VACUUM ANALYZE",
)

TABLES = (
    "ledgers",
    "execution_streams",
    "execution_history",
    "execution_events",
    "execution_steps",
    "execution_leases",
    "command_receipts",
)
Ask = Callable[[AsyncSession], Awaitable[Any]]


@pytest.fixture(scope="module")
def filled(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    url = postgres_server.create_database(postgres_template)
    engine = create_plain_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in FILL:
            connection.execute(text(statement))
    engine.dispose()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def full_engine(filled: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(filled)
    yield engine
    await engine.dispose()


async def plans(engine: AsyncEngine, ask: Ask, only: str) -> str:
    """The plans of the statements that a question really sends and that begin with `only`."""
    sent: list[tuple[str, Any]] = []

    def keep(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        sent.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", keep)
    async with async_sessionmaker(engine, expire_on_commit=False)() as session:
        await ask(session)
    event.remove(engine.sync_engine, "before_cursor_execute", keep)
    lines: list[str] = []
    async with engine.connect() as connection:
        for statement, parameters in sent:
            if statement.startswith(only):
                found = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
                lines.extend(found.scalars())
    assert lines, sent
    return "\n".join(lines)


def _events(**filters: Any) -> Ask:
    return lambda session: LedgerQueries(session).events(**filters)


def _history(**filters: Any) -> Ask:
    return lambda session: ExecutionRepository(session).get_execution_history(**filters)


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
        ("execution_history_status_created_at", _history(status="running")),
        ("execution_history_job_id_key", _history(job_id_prefix="job-777")),
        ("execution_history_run_name", _history(run_name_prefix="rare-")),
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
