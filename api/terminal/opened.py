"""A database for commands that work in this thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from ...infrastructure import Settings, check_schema, create_sync_engine
from ...infrastructure.database_errors import translated
from ..runtime import NothingRecorded, check_folder, open_ledger


@contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    """The database that the settings name, its schema checked; it has to be there."""
    file = check_folder(settings.database_url)
    if file is not None and not file.exists():
        raise NothingRecorded(path=str(file))
    engine = create_sync_engine(settings.database_url)
    try:
        with translated(), engine.connect() as connection:
            check_schema(connection)
        yield engine
    finally:
        engine.dispose()


def prepare(settings: Settings, *, create: bool) -> None:
    """Check the database, or with `create` make or upgrade a SQLite file, as `open_ledger` does."""

    async def prepare() -> None:
        async with open_ledger(settings, create=create):
            pass

    asyncio.run(prepare())
