"""Random histories in ledgers of their own, and what they should look like, folded by hand from the stored text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from execution_ledger.infrastructure import create_sync_engine
from support import Database


@pytest.fixture
def sync_engine(database: Database) -> Iterator[Engine]:
    engine = create_sync_engine(database.url)
    yield engine
    engine.dispose()
