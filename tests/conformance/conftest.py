"""A session and a repository of the default ledger, on each store; every ledger is checked when the test is over.

Tests of what a repository does take `repository`, or `door` to make repositories of their own: they run with each write
in the session, and again with each write through a group writer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import EventStore, ExecutionRepository, GroupWriter
from support import Database, Door
from support.ledger import check_all


@pytest.fixture
async def session(sessions: async_sessionmaker[AsyncSession], engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session
    await check_all(engine)


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[GroupWriter]:
    async with GroupWriter(database.url) as writer:
        yield writer


@pytest.fixture(params=["session", "writer"])
async def door(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Door]:
    """Makes repositories that write by one way or the other; it takes what the repository takes."""
    writers: dict[EventStore | None, GroupWriter] = {}

    def repository(session: AsyncSession, *, store: EventStore | None = None, **options: Any) -> ExecutionRepository:
        if request.param == "writer":
            if store not in writers:
                writers[store] = GroupWriter(database.url, store=store)
            options["writer"] = writers[store]
        return ExecutionRepository(session, store=store, **options)

    yield repository
    for writer in writers.values():
        await writer.close()


@pytest.fixture
def repository(session: AsyncSession, door: Door) -> ExecutionRepository:
    return door(session)
