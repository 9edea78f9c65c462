"""A PostgreSQL of these tests' own, with real durability settings: they stop, kill and restart it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy

from execution_ledger.infrastructure import create_schema
from support import Database
from support.postgres import LocalServer, start_server


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    server = start_server(fsync=True)
    yield server
    server.stop()


@pytest.fixture
def own(server: LocalServer) -> Database:
    """A database on it."""
    url = server.create_database()
    engine = sqlalchemy.create_engine(url)
    create_schema(engine)
    engine.dispose()
    return Database("postgresql", url)
