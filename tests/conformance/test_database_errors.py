"""Whatever happens to the database, callers get errors of the domain, with the driver's own as the cause."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from execution_ledger.domain import LedgerBusy, LedgerError, SchemaNotReady, StoreError, StoreUnavailable
from execution_ledger.infrastructure import ExecutionRepository, configure_sqlite, create_engine
from support import Database, Door, ledger
from support.poison import poison

Call = Callable[[ExecutionRepository], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "get": lambda repository: repository.get(1),
    "get_execution_by_job_id": lambda repository: repository.get_execution_by_job_id("job"),
    "get_all": lambda repository: repository.get_all(),
    "get_execution_history": lambda repository: repository.get_execution_history(),
    "get_execution_page": lambda repository: repository.get_execution_page(),
    "create": lambda repository: repository.create({}),
    "create with a command id": lambda repository: repository.create({}, command_id="c1"),
    "update": lambda repository: repository.update(1, {"message": "m"}),
    "update that changes nothing": lambda repository: repository.update(1, {}),
    "mark_execution_completed": lambda repository: repository.mark_execution_completed(1),
    "delete": lambda repository: repository.delete(1),
    "start_step": lambda repository: repository.start_step(1, "s"),
}


async def refusal(call: Awaitable[Any], kind: type[LedgerError]) -> LedgerError:
    with pytest.raises(LedgerError) as caught:
        await call
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None
    assert "[SQL" not in str(caught.value), "statements and their parameters stay out of messages"
    return caught.value


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("call", CALLS)
async def test_a_missing_table_is_told_with_the_remedy(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession], call: str, commit: bool
) -> None:
    async with sessions() as session:
        await ExecutionRepository(session).create({"job_id": "job"})
    async with engine.begin() as connection:
        for table in ("execution_history", "execution_streams"):
            await connection.execute(text(f"DROP TABLE {table}"))
    async with sessions() as session:
        repository = ExecutionRepository(session, commit=commit)

        async def write() -> None:
            await CALLS[call](repository)
            await repository.flush()  # a new execution needs no table before

        error = await refusal(write(), SchemaNotReady)
        assert "migrate" in str(error)
        await session.rollback()


async def test_an_error_at_the_commit_of_a_unit_of_work_is_one_of_the_domain_too(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    async with sessions() as session:
        await ExecutionRepository(session, commit=False).create({"job_id": "job"})
        if engine.dialect.name == "postgresql":
            await session.connection()
        async with engine.begin() as connection:
            await connection.execute(text("DROP TABLE execution_history"))
        await refusal(session.commit(), SchemaNotReady)
        await session.rollback()
    assert await ledger.events(engine) == []


@pytest.fixture
async def unreachable(store: str, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    if store == "sqlite":
        url = f"sqlite:///{tmp_path}/no/such/folder/ledger.db"
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        url = f"postgresql://nobody@127.0.0.1:{port}/ledger"
    others = set(threading.enumerate())
    engine = create_engine(url)
    yield engine
    await engine.dispose()
    for thread in set(threading.enumerate()) - others:
        if "_connection_worker_thread" in thread.name:
            # aiosqlite does not wait for it after a failure, and it speaks to the loop once more.
            await asyncio.to_thread(thread.join, 10)


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("call", CALLS)
async def test_a_database_that_cannot_be_reached_is_told(unreachable: AsyncEngine, call: str, commit: bool) -> None:
    async with AsyncSession(unreachable) as session:
        await refusal(CALLS[call](ExecutionRepository(session, commit=commit)), StoreUnavailable)


@pytest.mark.store("postgresql")
@pytest.mark.parametrize("call", CALLS)
async def test_a_connection_that_the_server_ended_is_told_and_the_next_one_works(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession], call: str
) -> None:
    async with sessions() as session, engine.connect() as killer:
        repository = ExecutionRepository(session)
        await repository.create({"job_id": "job"})
        pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await killer.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        await refusal(CALLS[call](repository), StoreUnavailable)
        await session.rollback()
        await CALLS[call](repository)
    await ledger.check_all(engine)


@pytest.mark.store("postgresql")
async def test_a_database_that_does_not_exist_is_unavailable(database: Database) -> None:
    engine = create_engine(make_url(database.url).set(database="no_such_ledger").render_as_string(hide_password=False))
    async with AsyncSession(engine) as session:
        error = await refusal(ExecutionRepository(session).get(1), StoreUnavailable)
        assert "no_such_ledger" in str(error)
    await engine.dispose()


async def test_a_pool_without_a_free_connection_is_told(database: Database) -> None:
    engine = create_engine(database.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    async with engine.connect(), AsyncSession(engine) as session:
        error = await refusal(ExecutionRepository(session).create({}), LedgerBusy)
        assert "pool" in str(error)
    await engine.dispose()


async def test_a_lock_that_cannot_be_had_in_time_is_told(database: Database, engine: AsyncEngine) -> None:
    impatient = create_engine(database.url)
    async with AsyncSession(engine) as holder, AsyncSession(impatient) as session:
        await ExecutionRepository(holder).create({"job_id": "job"})
        unit = ExecutionRepository(holder, commit=False)
        await unit.update_execution("job", {"message": "first"})
        await unit.flush()
        short = "PRAGMA busy_timeout = 1" if database.kind == "sqlite" else "SET lock_timeout = 1"
        await session.execute(text(short))
        await session.commit()
        async with impatient.connect() as connection:
            await connection.execute(text(short))
            await connection.commit()
        await refusal(ExecutionRepository(session).update_execution("job", {"message": "second"}), LedgerBusy)
        await session.rollback()
        await holder.commit()
        updated = await ExecutionRepository(session).update_execution("job", {"message": "second"})
        assert updated.version == 3
    await impatient.dispose()


@pytest.mark.store("sqlite")
async def test_a_stale_read_in_the_callers_transaction_is_told_with_the_remedy(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as mine, AsyncSession(engine) as others:
        await ExecutionRepository(others).create({"job_id": "job"})
        await mine.execute(text("BEGIN"))
        assert (await ExecutionRepository(mine).get(1)).status == "pending"
        await ExecutionRepository(others).update_execution(1, {"status": "running"})
        error = await refusal(ExecutionRepository(mine).update_execution(1, {"message": "m"}), LedgerBusy)
        assert "Roll back" in str(error)
        await mine.rollback()
        assert (await ExecutionRepository(mine).update_execution(1, {"message": "m"})).status == "running"


@pytest.mark.store("sqlite")
async def test_a_file_that_cannot_be_written_is_told(database: Database) -> None:
    path = make_url(database.url).database
    engine = create_engine(database.url)
    async with AsyncSession(engine) as session:
        await ExecutionRepository(session).create({})
        await session.execute(text("PRAGMA query_only = 1"))
        error = await refusal(ExecutionRepository(session).create({}), StoreError)
        assert "readonly" in str(error)
        await session.rollback()
    await engine.dispose()
    assert sqlite3.connect(path).execute("SELECT count(*) FROM execution_events").fetchone() == (1,)


@pytest.mark.store("postgresql")
async def test_two_transactions_that_wait_for_each_other_are_told(engine: AsyncEngine) -> None:
    isolation = {"isolation_level": "REPEATABLE READ"}
    async with AsyncSession(engine) as others, AsyncSession(engine.execution_options(**isolation)) as mine:
        await ExecutionRepository(others).create({"job_id": "job"})
        assert (await ExecutionRepository(mine).get(1)).status == "pending"
        await ExecutionRepository(others).update_execution(1, {"status": "running"})
        error = await refusal(ExecutionRepository(mine).update_execution(1, {"message": "m"}), LedgerBusy)
        assert "Roll back" in str(error)
        await mine.rollback()
        assert (await ExecutionRepository(mine).update_execution(1, {"message": "m"})).version == 3
    await ledger.check_all(engine)


@pytest.mark.parametrize("when", ["at the insert", "at the commit"])
async def test_what_the_database_refuses_leaves_nothing_behind_and_the_next_write_works(
    database: Database, engine: AsyncEngine, session: AsyncSession, door: Door, when: str
) -> None:
    await poison(database, engine, when)
    repository = door(session)
    await repository.create({"job_id": "job"})
    for attempt in (
        lambda: repository.create({"job_id": "other", "message": "poison"}),
        lambda: repository.update_execution("job", {"message": "poison"}),
    ):
        for _ in range(2):
            await refusal(attempt(), StoreError)
    assert (await repository.create({"job_id": "other"})).id == 2
    assert (await repository.update_execution("job", {"message": "m"})).version == 2
    assert await ledger.types(engine) == ["created", "created", "details_changed"]


async def test_an_error_of_the_callers_own_code_passes_as_it_is(sessions: async_sessionmaker[AsyncSession]) -> None:
    class Mine(Exception):
        pass

    async def work() -> None:
        async with sessions.begin() as session:
            await ExecutionRepository(session, commit=False).create({})
            raise Mine

    with pytest.raises(Mine):
        await work()


def test_an_engine_on_another_driver_is_left_as_it_is() -> None:
    engine = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1/nothing")
    configure_sqlite(engine)
    assert not engine.dialect.dispatch.handle_error
    assert not engine.sync_engine.pool.dispatch.checkout
