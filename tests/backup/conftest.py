"""A ledger to take a backup of, and databases to restore it to."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.infrastructure import (
    ExecutionRepository,
    GroupWriter,
    create_engine,
    create_key,
    create_sync_engine,
)
from support import Database
from support.stories import write_stories
from support.writers import create, update


@pytest.fixture
def source(database: Database) -> Iterator[Engine]:
    engine = create_sync_engine(database.url)
    yield engine
    engine.dispose()


@pytest.fixture
async def ledger(database: Database, source: Engine) -> AsyncIterator[GroupWriter]:
    """Runs with all that there can be beside their events: receipts, a lease, a key."""
    async with GroupWriter(database.url) as writer:
        await write_stories(writer)
        for request in (
            create("with receipt", command_id="only once", inputs={"day": "monday"}),
            create("with lease"),
            update("job-1", command_id="no news", message="m"),
        ):
            await writer.execute(request)
        with source.begin() as connection:
            create_key(connection, "default", "nightly", ["read", "write"], now=datetime.now(UTC), created_by="ada")
        engine = create_engine(database.url)
        async with AsyncSession(engine) as session:
            await ExecutionRepository(session).take_lease("with lease", holder="worker-1", ttl=3600)
        await engine.dispose()
        yield writer


@pytest.fixture
def sqlite_target(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    """Another file."""
    engine = create_sync_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'restored.db')}")
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Another database, of either kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), tmp_path / 'restored.db')}"
    else:
        url = request.getfixturevalue("postgres_server").create_database(request.getfixturevalue("postgres_template"))
    engine = create_sync_engine(url)
    yield engine
    engine.dispose()
    if request.param == "postgresql":
        request.getfixturevalue("postgres_server").drop_database(url)
