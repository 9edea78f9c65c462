"""Reads that wait until a write is in what they read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput, NotProjected
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter
from execution_ledger.projections import (
    AuditQueries,
    LedgerQueries,
    Projector,
    ReplayQueries,
    RunStatistics,
    StatisticsQueries,
)
from support import Database
from support.writers import create, update

MARCH = ("2020-01-01", "2040-01-01")
Sessions = async_sessionmaker[AsyncSession]


async def test_a_write_tells_its_position(sessions: Sessions, database: Database) -> None:
    async with sessions() as session:
        repository = ExecutionRepository(session)
        assert repository.position is None
        await repository.create({"job_id": "a"})
        assert repository.position == 1
        await repository.update("a", {"message": "m", "status": "running"})
        assert repository.position == (await LedgerQueries(session).summary()).size
        before = repository.position
        await repository.update("a", {})
        assert repository.position == before
    async with GroupWriter(database.url) as writer:
        outcome = await writer.execute(update("a", message="n"))
        assert outcome is not None
        assert outcome.position == before + 1


async def test_statistics_wait_for_their_projection(
    sessions: Sessions, database: Database, sync_engine: Engine
) -> None:
    async with GroupWriter(database.url) as writer:
        await writer.execute(create("a", status="completed"))
    projector = Projector(sync_engine, [RunStatistics()])
    async with sessions() as session:
        with pytest.raises(NotProjected, match="'run_statistics' has read up to position 0, not yet up to 1"):
            await StatisticsQueries(session, min_position=1, wait=0.05).statistics(*MARCH)
        waiting = asyncio.create_task(StatisticsQueries(session, min_position=1, wait=30).statistics(*MARCH))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await projector.catch_up()
        assert (await waiting)[0].runs == 1


async def test_what_is_there_already_costs_nothing(engine: AsyncEngine, sessions: Sessions, database: Database) -> None:
    async with GroupWriter(database.url) as writer:
        await writer.execute_together([create("a"), create("b")])
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    async with sessions() as session:
        await LedgerQueries(session, min_position=2).summary()
    event.listen(engine.sync_engine, "before_cursor_execute", note)
    async with sessions() as session:
        assert len((await AuditQueries(session, min_position=2).events()).events) == 2
        audit = len(statements)
        assert len((await AuditQueries(session).events()).events) == 2
        assert len(statements) == 2 * audit
        state = await ReplayQueries(session, min_position=1).state_at("a")
        assert state is not None


async def test_a_position_that_never_comes_is_told(sessions: Sessions) -> None:
    async with sessions() as session:
        for queries in (LedgerQueries, ReplayQueries, AuditQueries):
            with pytest.raises(NotProjected, match="position 0, not yet up to 5"):
                await _ask(queries(session, min_position=5, wait=0))
        with pytest.raises(InvalidInput, match="min_position"):
            LedgerQueries(session, min_position=-1)
        with pytest.raises(InvalidInput, match="min_position"):
            AuditQueries(session, ledger=["a", "b"], min_position=1)


async def _ask(queries: Any) -> None:
    match queries:
        case LedgerQueries():
            await queries.summary()
        case ReplayQueries():
            await queries.state_at("a")
        case _:
            await queries.events()
