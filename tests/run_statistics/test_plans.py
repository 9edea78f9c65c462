"""Statements and questions use their indexes on 120,000 skewed runs, with the planner's settings as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine as create_plain_engine
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import create_engine
from execution_ledger.projections import RunStatistics, StatisticsQueries
from support.postgres import Server
from support.projecting import make_event

pytestmark = pytest.mark.store("postgresql")

ROWS = 120_000
START = datetime(2026, 1, 1, tzinfo=UTC)
_SECONDS = int(START.timestamp())
# A run every 20 seconds; one of 12 names has nearly all of them, one in 400 fails, one in 600 is not ended yet.
FILL = (
    f"""
INSERT INTO run_facts (ledger_id, execution_id, job_id, position, run_name, execution_type, attempt, created, started,
    ended, outcome, late, deleted, error)
SELECT 'default', md5(n::text)::uuid, 'job-' || n, n, CASE WHEN n % 300 = 0 THEN 'rare-' || n % 11 ELSE 'nightly' END,
    'flow', 1, born, born + n % 7000000, born + n % 90000000,
    CASE WHEN n % 600 = 1 THEN '' WHEN n % 400 = 0 THEN 'failed' ELSE 'completed' END, 0, 0,
    CASE WHEN n % 400 = 0 THEN 'reason ' || n % 5 ELSE '' END
FROM (SELECT n, ({_SECONDS} + n * 20) * 1000000::bigint AS born FROM generate_series(1, {ROWS}) n) runs""",
    r"""
INSERT INTO run_statistics
SELECT ledger_id, 1, ended / 3600000000, run_name || '-' || position % 150, execution_type, outcome, count(*), 0,
    '{"5300"\:1}', '{"4400"\:1}'
FROM run_facts WHERE outcome <> '' GROUP BY 1, 2, 3, 4, 5, 6
UNION ALL
SELECT ledger_id, 24, ended / 86400000000 * 24, '', execution_type, outcome, count(*), 0, '{"5300"\:1}', '{"4400"\:1}'
FROM run_facts WHERE outcome <> '' GROUP BY 1, 2, 3, 4, 5, 6""",
    "VACUUM ANALYZE",
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


async def plans(engine: AsyncEngine, ask: Ask) -> str:
    """The plans of the statements that a question really sends."""
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
            lines += (await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)).scalars()
    assert lines
    return "\n".join(lines)


def statistics(days: float = 1, **more: Any) -> Ask:
    window = (START + timedelta(days=3), START + timedelta(days=3 + days))
    return lambda session: StatisticsQueries(session).statistics(*window, **more)


def listed(name: str, hours: int = 3, **more: Any) -> Ask:
    window = (START + timedelta(days=3), START + timedelta(days=3, hours=hours))
    return lambda session: getattr(StatisticsQueries(session), name)(*window, **more)


@pytest.mark.parametrize(
    ("index", "ask"),
    [
        ("run_statistics_pkey", statistics()),
        ("run_statistics_pkey", statistics(days=20.3)),
        ("run_statistics_pkey", statistics(days=20.3, by="day")),
        ("run_statistics_pkey", statistics(by="hour")),
        ("run_statistics_run_name", statistics(days=20, by="day", run_name="rare-7-30")),
        ("run_statistics_pkey", listed("most_failing")),
        ("run_facts_failed", listed("failure_reasons", hours=200)),
        ("run_facts_ended", listed("longest_runs")),
        ("run_facts_ended", listed("most_retried")),
    ],
    ids=["day", "days", "by day", "by hour", "by name", "failing", "reasons", "longest", "retried"],
)
async def test_a_question_uses_its_index(full_engine: AsyncEngine, index: str, ask: Ask) -> None:
    plan = await plans(full_engine, ask)
    assert f" {index} " in plan, plan
    assert "Seq Scan on run_" not in plan, plan


async def test_events_are_applied_by_key(full_engine: AsyncEngine) -> None:
    events = [
        make_event(
            ROWS + n,
            f"job-{n}",
            "corrected",
            execution_id=UUID(int=n),
            data={"status": "failed", "run_name": "n", "error": "e"},
        )
        for n in range(1, 200)
    ]

    async def apply(session: AsyncSession) -> None:
        for statement in RunStatistics().batch(events):
            await session.execute(statement)

    plan = await plans(full_engine, apply)
    assert "using run_facts_pkey on run_facts" in plan, plan
    assert "Arbiter Indexes: run_statistics_pkey" in plan, plan
    assert "Index Scan using run_statistics_" in plan, plan
    assert "Seq Scan on run_" not in plan, plan
