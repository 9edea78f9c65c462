"""Engines of the caller's own, databases that are not ready or not there: told in words of the domain."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import (
    DuplicateJobId,
    EngineNotConfigured,
    InvalidInput,
    LedgerBusy,
    LedgerError,
    SchemaNotReady,
    StoreUnavailable,
)
from execution_ledger.infrastructure import GroupWriter, configure_sqlite, create_sync_engine
from execution_ledger.infrastructure.connections import create_writer_engine
from support import Database, ledger
from support.audit import audit
from support.writers import create, held, note, queue


def engine_of_the_callers(database: Database) -> Engine:
    """As a program makes it that knows nothing of ours."""
    url = make_url(database.url)
    engine = sqlalchemy.create_engine(url.set(drivername=url.drivername.replace("+aiosqlite", "")))
    configure_sqlite(engine)
    return engine


async def test_what_is_acknowledged_is_recorded_on_an_engine_of_the_callers_own(database: Database) -> None:
    engine = engine_of_the_callers(database)
    with engine.connect() as connection:
        before = connection.get_isolation_level()
    async with GroupWriter(engine) as writer:
        await writer.execute(create("alone"))
        await writer.execute(note("alone", "on a known execution"))
        await writer.execute(create("in a new ledger", "other"))
        await writer.execute_together([create("a"), create("b"), note("alone", "in a group"), create("a")])
        with pytest.raises(DuplicateJobId):
            await writer.execute(create("alone"))
        await writer.execute(note("alone", "after a refusal"))
    with engine.connect() as connection:
        assert connection.get_isolation_level() == before, "the caller has his connections back as they were"
    engine.dispose()
    ledgers = audit(database.url)
    assert {name: len(each.events) for name, each in ledgers.items()} == {"default": 6, "other": 1}


async def test_a_pool_of_the_callers_without_a_free_connection_is_told(database: Database) -> None:
    engine = create_sync_engine(database.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    async with GroupWriter(engine, patience=0) as writer:
        with engine.connect():
            with pytest.raises(LedgerBusy, match="pool"):
                await writer.execute(create("a"))
            with pytest.raises(LedgerBusy, match="pool"):
                await writer.execute_together([create("a"), create("b")])
        assert (await writer.execute(create("a"))).id == 1
    engine.dispose()


@pytest.mark.store("sqlite")
async def test_a_sqlite_engine_that_nobody_prepared_is_refused_with_the_remedy(
    database: Database, engine: AsyncEngine
) -> None:
    url = make_url(database.url)
    bare = sqlalchemy.create_engine(url.set(drivername="sqlite"))
    async with GroupWriter(bare) as writer:
        with pytest.raises(EngineNotConfigured, match="configure_sqlite"):
            await writer.execute(create("a"))
        answers = await writer.execute_together([create("a"), create("b")])
        assert [type(each) for each in answers] == [EngineNotConfigured] * 2
    bare.dispose()
    assert await ledger.events(engine) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u@h/d", "nonsense"])
def test_a_database_that_a_writer_cannot_serve_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidInput):
        GroupWriter(url)


@pytest.mark.parametrize("option", ["workers", "capacity", "group", "ledgers"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "4", None, True])
def test_a_wrong_bound_is_refused_by_name(tmp_path: Path, option: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        GroupWriter(f"sqlite:///{tmp_path}/ledger.db", **{option: value})  # type: ignore[arg-type]
    assert refused.value.field == option


async def test_missing_tables_are_told_with_the_remedy(database: Database, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE execution_history")
    async with GroupWriter(database.url) as writer:
        with pytest.raises(SchemaNotReady, match="migrate"):
            await writer.execute(create("a"))
        with pytest.raises(SchemaNotReady, match="migrate"):
            await writer.execute_together([create("a"), create("b")])
    assert await ledger.events(engine) == []


async def test_a_database_that_cannot_be_reached_is_told_once_patience_is_at_an_end(store: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/no/such/folder/ledger.db"
    if store == "postgresql":
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/ledger"
    async with GroupWriter(url, patience=0) as writer:
        with pytest.raises(StoreUnavailable) as told:
            await writer.execute(create("a"))
        assert type(told.value) is StoreUnavailable, "nothing was sent, so the outcome is known"
        with pytest.raises(StoreUnavailable):
            await writer.execute_together([create("a"), create("b")])


async def test_a_database_that_comes_back_within_patience_is_written_to(
    database: Database, engine: AsyncEngine
) -> None:
    watched = create_writer_engine(database.url, 4, 60)
    refusals = iter(range(3))

    @event.listens_for(watched, "do_connect")
    def refuse(dialect: sqlalchemy.Dialect, *_: object) -> None:
        for _ in refusals:
            raise dialect.loaded_dbapi.OperationalError("no route to host")

    async with GroupWriter(watched, patience=60) as writer:
        outcome, answers = (
            await writer.execute(create("a")),
            await writer.execute_together([note("a", "1"), create("b")]),
        )
    watched.dispose()
    assert next(refusals, None) is None
    assert [outcome.id, *(each.id for each in answers)] == [1, 1, 2]  # type: ignore[union-attr]
    assert await ledger.types(engine) == ["created", "noted", "created"]


async def test_a_lock_that_is_held_beyond_all_patience_is_told_and_nothing_is_recorded(
    database: Database, engine: AsyncEngine
) -> None:
    async with GroupWriter(database.url) as writer:
        await writer.execute(create("a"))
    impatient = create_writer_engine(database.url, 4, 0.001)
    async with GroupWriter(impatient, patience=0.001) as writer:
        with held(database):
            with pytest.raises(LedgerBusy):
                await writer.execute(note("a", "alone"))
            with pytest.raises(LedgerBusy):
                await writer.execute_together([note("a", "1"), create("b")])
        assert (await writer.execute(note("a", "after"))).version == 2
    impatient.dispose()
    assert await ledger.types(engine) == ["created", "noted"]


@pytest.mark.store("sqlite")
def test_on_sqlite_a_writer_waits_for_another_one_as_long_as_its_patience_lasts(database: Database) -> None:
    engine = create_writer_engine(database.url, 1, 2.5)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 2_500
    engine.dispose()


@pytest.mark.store("postgresql")
async def test_a_new_ledger_that_another_transaction_is_about_to_make_is_waited_for(
    database: Database, engine: AsyncEngine
) -> None:
    async with GroupWriter(database.url, patience=60) as writer:
        async with engine.connect() as rival:
            await rival.exec_driver_sql("INSERT INTO ledgers (ledger_id, created_at) VALUES ('new', now())")
            futures = await queue(writer, [create("a", "new"), create("b", "new")], create("c", "new"))
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            async with engine.connect() as watcher:
                seen = 0
                while seen < 3:  # more than once, so that a wait was given up and begun again
                    seen += bool((await watcher.exec_driver_sql(waits)).scalar())
                    await watcher.rollback()
            await rival.commit()
        answers = [answer for each in futures for answer in await each]
    assert not [each for each in answers if isinstance(each, LedgerError)]
    assert len(await ledger.events(engine, "new")) == 3
