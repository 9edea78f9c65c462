"""Databases to keep in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from execution_ledger.infrastructure import create_sync_engine
from support import Database


@pytest.fixture
def sync_engine(database: Database) -> Iterator[Engine]:
    """For what runs in threads."""
    engine = create_sync_engine(database.url)
    yield engine
    engine.dispose()
