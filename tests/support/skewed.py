"""A ledger of 120,000 skewed rows on PostgreSQL, and the plans of what is asked of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

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
    CASE WHEN n % 2000 = 0 THEN 'execution.corrected' WHEN n % 6 = 1 THEN 'execution.created'
        WHEN n < {ROWS} / 2 THEN 'execution.progressed' ELSE 'execution.completed' END, 1,
    CASE WHEN n % 2000 = 0 THEN '{{"status":"failed","error":"Disk full"}}'
        WHEN n % 6 = 1 AND n % 1000 = 1 THEN '{{"job_id":"j","status":"failed"}}'
        WHEN n % 6 = 1 THEN '{{"job_id":"j","status":"pending"}}'
        WHEN n < {ROWS} / 2 THEN '{{"progress": 0.5}}' ELSE '{{"status":"completed"}}' END,
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


def fill(url: str) -> None:
    """Fill an empty database, and let the planner know."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in FILL:
            connection.execute(text(statement))
    engine.dispose()


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
