"""What the database itself refuses, and how our SQLite engines are set up."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from execution_ledger.infrastructure import ExecutionRepository, configure_sqlite, create_engine, create_sync_engine
from execution_ledger.infrastructure.tables import execution_events
from support import Database, ledger

COLUMNS = ", ".join(column.name for column in execution_events.columns)
OTHERS = ", ".join(column.name for column in execution_events.columns if column.name not in ("position", "version"))
ONCE_MORE = "INSERT INTO execution_events SELECT * FROM execution_events WHERE true"

CHANGES = {
    "UPDATE": "UPDATE execution_events SET actor = 'eve'",
    "UPDATE of one row": "UPDATE execution_events SET position = 99 WHERE position = 1",
    "UPDATE of nothing but the payload": "UPDATE execution_events SET data = NULL, salt = NULL",
    "DELETE": "DELETE FROM execution_events",
    "DELETE of one row": "DELETE FROM execution_events WHERE position = 2",
    "upsert": ONCE_MORE + " ON CONFLICT (ledger_id, position) DO UPDATE SET actor = 'eve'",
}
POSTGRESQL = {
    "TRUNCATE": "TRUNCATE execution_events",
    "TRUNCATE CASCADE": "TRUNCATE ledgers, execution_events CASCADE",
    "UPDATE of no row": "UPDATE execution_events SET actor = 'eve' WHERE false",
    "MERGE": "MERGE INTO execution_events e USING ledgers l ON e.ledger_id = l.ledger_id WHEN MATCHED THEN DELETE",
    "CTE": "WITH gone AS (DELETE FROM execution_events RETURNING 1) SELECT count(*) FROM gone",
}
SQLITE = {
    "REPLACE": f"REPLACE INTO execution_events ({COLUMNS}) SELECT {COLUMNS} FROM execution_events",
    "INSERT OR REPLACE by position": (
        f"INSERT OR REPLACE INTO execution_events (position, version, {OTHERS}) "
        f"SELECT position, version + 10, {OTHERS} FROM execution_events"
    ),
    "INSERT OR REPLACE by version": (
        f"INSERT OR REPLACE INTO execution_events (position, version, {OTHERS}) "
        f"SELECT position + 10, version, {OTHERS} FROM execution_events"
    ),
    "INSERT OR REPLACE by rowid": (
        f"INSERT OR REPLACE INTO execution_events (rowid, position, version, {OTHERS}) "
        f"SELECT rowid, position + 10, version + 10, {OTHERS} FROM execution_events"
    ),
    "UPDATE OR REPLACE": "UPDATE OR REPLACE execution_events SET position = 2 WHERE position = 1",
}


async def check_refused(engine: AsyncEngine, statement: str) -> None:
    async with async_sessionmaker(engine)() as session:
        await ExecutionRepository(session).create({"job_id": "job"})
        await ExecutionRepository(session).add_note("job", "n")
    before = await ledger.everything(engine)
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match="execution_events is append-only"):
            await connection.execute(text(statement))
        await connection.rollback()
    assert await ledger.everything(engine) == before


@pytest.mark.parametrize("change", CHANGES)
async def test_events_cannot_be_changed_or_removed(engine: AsyncEngine, change: str) -> None:
    await check_refused(engine, CHANGES[change])


@pytest.mark.store("postgresql")
@pytest.mark.parametrize("change", POSTGRESQL)
async def test_events_cannot_be_changed_by_what_only_postgresql_knows(engine: AsyncEngine, change: str) -> None:
    await check_refused(engine, POSTGRESQL[change])


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("change", SQLITE)
async def test_events_cannot_be_changed_by_what_only_sqlite_knows(engine: AsyncEngine, change: str) -> None:
    await check_refused(engine, SQLITE[change])


async def test_an_event_at_a_taken_position_is_refused(engine: AsyncEngine) -> None:
    async with async_sessionmaker(engine)() as session:
        await ExecutionRepository(session).create({"job_id": "job"})
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError):
            await connection.execute(text(ONCE_MORE))


def pragmas(connection: Connection) -> dict[str, object]:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


FIT = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


@pytest.mark.store("sqlite")
async def test_every_connection_of_our_engines_is_durable_and_patient(database: Database) -> None:
    theirs = create_async_engine(database.url)
    configure_sqlite(theirs)
    for engine in (create_engine(database.url), theirs):
        async with engine.connect() as one, engine.connect() as two:
            assert await one.run_sync(pragmas) == await two.run_sync(pragmas) == FIT
        await engine.dispose()
    sync: Engine = create_sync_engine(database.url)
    with sync.connect() as connection:
        assert pragmas(connection) == FIT
    sync.dispose()


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("commit", [True, False])
async def test_a_writer_waits_for_another_one(database: Database, engine: AsyncEngine, commit: bool) -> None:
    waiting = create_engine(database.url)
    begun = asyncio.Event()

    @event.listens_for(waiting.sync_engine, "before_cursor_execute")
    def notice(*arguments: object) -> None:
        if arguments[2] == "BEGIN IMMEDIATE":
            begun.set()

    async with AsyncSession(engine) as holder, AsyncSession(waiting) as session:
        held = ExecutionRepository(holder, commit=False)
        await held.create({"job_id": "job"})
        await held.flush()
        writer = ExecutionRepository(session, commit=commit)
        await writer.get_execution_history()  # what it has read before does not matter

        async def write() -> None:
            await writer.create({"job_id": "other"})
            await session.commit()

        task = asyncio.create_task(write())
        await begun.wait()
        assert await ledger.events(engine) == []
        await holder.commit()
        await task
    await waiting.dispose()
    assert await ledger.types(engine) == ["created", "created"]
    await ledger.check_all(engine)
