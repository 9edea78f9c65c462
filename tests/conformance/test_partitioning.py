"""Decision 5: a ledger can be partitioned by position later, and everything runs on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import ExecutionRepository
from execution_ledger.projections import LedgerQueries

GUIDE = Path(__file__).parents[2] / "docs" / "operating.md"


def _statements(boundary: int) -> list[str]:
    block = re.search(r"^```sql\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    sql = block[1].replace("1000000", str(boundary))
    return [statement for each in sql.split(";") if (statement := each.strip())]


@pytest.mark.store("postgresql")
async def test_a_ledger_partitioned_as_the_guide_says_runs_on(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    async with sessions() as session:
        repository = ExecutionRepository(session)
        before = await repository.create_execution({"job_id": "before"})
        root = await LedgerQueries(session).root()
    async with engine.begin() as connection:
        for statement in _statements(boundary=4):
            await connection.execute(text(statement))
    async with sessions() as session:
        repository = ExecutionRepository(session)
        await repository.update_execution(before.id, {"status": "running"})
        await repository.mark_execution_completed(before.id, {"rows": 3})
        await repository.create_execution({"job_id": "after"})
        page, total = await repository.get_execution_history()
        queries = LedgerQueries(session)
        assert ([each.job_id for each in page], total) == (["after", "before"], 2)
        assert [event.position for event in await queries.events(newest_first=False)] == [1, 2, 3, 4]
        assert await queries.root(1) == root
    for table, size in (("execution_events_1", 3), ("execution_events_2", 1)):
        async with engine.connect() as connection:
            assert (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar() == size
    for statement in ("DELETE FROM execution_events", "DELETE FROM execution_events_1", "TRUNCATE execution_events"):
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError, match="append-only"):
                await connection.execute(text(statement))
