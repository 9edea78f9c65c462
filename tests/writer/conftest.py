"""Writers that are closed when the test is over; then a stranger checks the whole database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support import Database
from support.audit import audit
from support.writers import OpenWriter, WatchedWriter


@pytest.fixture
async def open_writer(database: Database) -> AsyncIterator[OpenWriter]:
    """Makes writers with options of their own."""
    writers: list[WatchedWriter] = []

    def open_writer(**options: Any) -> WatchedWriter:
        writers.append(WatchedWriter(database, **options))
        return writers[-1]

    yield open_writer
    for writer in writers:
        await writer.close()
        writer.watch.engine.dispose()
    audit(database.url)


@pytest.fixture
def writer(open_writer: OpenWriter) -> WatchedWriter:
    return open_writer()
