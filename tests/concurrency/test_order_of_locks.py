"""Locks taken against the order (streams first, head last) can deadlock; who keeps the order does not lose by it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import LedgerBusy
from execution_ledger.infrastructure import ExecutionRepository
from support import Database
from support.audit import audit

pytestmark = pytest.mark.store("postgresql")
Sessions = async_sessionmaker[AsyncSession]


async def waits_for_a_lock(engine: AsyncEngine) -> None:
    """Until some connection to the database waits for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with engine.connect() as connection:
        while not (await connection.execute(waiting)).scalar():
            await connection.rollback()


async def test_a_single_write_survives_the_deadlock_that_a_second_flush_causes(
    database: Database, engine: AsyncEngine, sessions: Sessions
) -> None:
    async with sessions() as session:
        for job_id in ("first", "second"):
            await ExecutionRepository(session).create_execution({"job_id": job_id, "status": "running"})

    async def single() -> None:
        async with sessions() as session:
            await ExecutionRepository(session).update(2, {"message": "single"})

    async with sessions() as session:
        unit = ExecutionRepository(session, commit=False)
        await unit.update(1, {"message": "unit 1"})
        await unit.flush()  # holds the head
        task = asyncio.create_task(single())
        await waits_for_a_lock(engine)  # the single write holds its stream, and waits for the head
        told: LedgerBusy | None = None
        try:
            await unit.update(2, {"message": "unit 2"})
            await session.commit()
        except LedgerBusy as error:
            told = error
            await session.rollback()
        await task
    found = [each["payload"]["message"] for each in audit(database.url)["default"].events[2:]]
    assert found == (["single"] if told else ["unit 1", "unit 2", "single"])
