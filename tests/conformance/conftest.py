"""A session and a repository of the default ledger, on each store; every ledger is checked when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import ExecutionRepository
from support.ledger import check_all


@pytest.fixture
async def session(sessions: async_sessionmaker[AsyncSession], engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session
    await check_all(engine)


@pytest.fixture
def repository(session: AsyncSession) -> ExecutionRepository:
    return ExecutionRepository(session)
