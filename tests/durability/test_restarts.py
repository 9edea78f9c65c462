"""A server that restarts: calls between two transactions notice nothing, one in a transaction is told clearly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from execution_ledger.domain import Create, LedgerError, Note, StoreUnavailable
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_engine
from execution_ledger.infrastructure.connections import create_writer_engine
from support import Database
from support.audit import audit
from support.postgres import LocalServer

pytestmark = pytest.mark.store("postgresql")

CALLS: dict[str, Callable[[ExecutionRepository], Awaitable[Any]]] = {
    "get": lambda repository: repository.get(1),
    "get_all": lambda repository: repository.get_all(),
    "get_execution_by_job_id": lambda repository: repository.get_execution_by_job_id("job"),
    "get_execution_history": lambda repository: repository.get_execution_history(),
    "get_execution_page": lambda repository: repository.get_execution_page(),
    "create": lambda repository: repository.create({}),
    "create with a command id": lambda repository: repository.create({}, command_id="create"),
    "update": lambda repository: repository.update("job", {"message": "m"}),
    "update of a transition": lambda repository: repository.update("job", {"status": "running"}),
    "start_step": lambda repository: repository.start_step("job", "s"),
}
READS = frozenset(name for name in CALLS if name.startswith("get"))


def asyncpg(url: str, **options: Any) -> AsyncEngine:
    return create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), **options)


async def warm(engine: AsyncEngine, connections: int = 2) -> None:
    """Fill the pool."""
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            connection = await stack.enter_async_context(engine.connect())
            await connection.execute(text("SELECT 1"))


async def prepare(database: Database) -> None:
    engine = create_engine(database.url)
    async with AsyncSession(engine) as session:
        await ExecutionRepository(session).create({"job_id": "job"})
    await engine.dispose()


@pytest.mark.parametrize("make", [create_engine, asyncpg], ids=["psycopg", "asyncpg"])
async def test_the_next_call_of_a_repository_succeeds(own: Database, server: LocalServer, make: Any) -> None:
    await prepare(own)
    async with AsyncExitStack() as stack:
        repositories = {}
        for name in CALLS:
            engine = make(own.url)
            stack.push_async_callback(engine.dispose)
            await warm(engine)
            repositories[name] = ExecutionRepository(await stack.enter_async_context(AsyncSession(engine)))
        await asyncio.to_thread(server.restart)
        for name, call in CALLS.items():
            assert await call(repositories[name]) is not None, name
    assert audit(own.url)["default"].head["size"] == 1 + len(CALLS) - len(READS)


async def test_the_next_unit_of_work_succeeds(own: Database, server: LocalServer) -> None:
    await prepare(own)
    engine = create_engine(own.url)
    await warm(engine)
    async with AsyncSession(engine) as session:
        await asyncio.to_thread(server.restart)
        repository = ExecutionRepository(session, commit=False)
        await repository.update("job", {"message": "m"})
        await repository.create({})
        await session.commit()
    await engine.dispose()
    assert audit(own.url)["default"].head["size"] == 3


async def test_the_next_commands_of_a_writer_succeed(own: Database, server: LocalServer) -> None:
    await prepare(own)
    async with GroupWriter(own.url, workers=2) as writer:

        async def write(*names: str) -> None:
            await asyncio.gather(*(writer.execute(Request(name, None, Create.of({}))) for name in names))

        await write("default", "other", "default")
        await asyncio.to_thread(server.restart)
        await write("default", "other", "default", "other")
        await asyncio.to_thread(server.restart)
        assert (await writer.create_many({} for _ in range(1200))).done == 1200
    ledgers = audit(own.url)
    assert {name: ledger.head["size"] for name, ledger in ledgers.items()} == {"default": 1205, "other": 3}


@pytest.mark.parametrize("call", CALLS)
async def test_a_connection_that_ends_under_a_call_is_replaced(
    database: Database, engine: AsyncEngine, call: str
) -> None:
    await prepare(database)
    killer = sqlalchemy.create_engine(database.url, isolation_level="AUTOCOMMIT")
    ended: list[int] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def end(connection: Any, *_: object) -> None:
        if not ended:
            ended.append(connection.connection.driver_connection.info.backend_pid)
            with killer.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": ended[0]})

    async with AsyncSession(engine, expire_on_commit=False) as session:
        ended.append(0)
        mine = await session.get(ExecutionRepository.entity.model, ("default", 1))
        await session.commit()
        ended.clear()
        assert await CALLS[call](ExecutionRepository(session)) is not None
        assert ended
        assert mine.job_id == "job"  # not expired: it could not be loaded again here
    killer.dispose()
    assert audit(database.url)["default"].head["size"] == 1 + (call not in READS)


DEMOTED = text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
"""What a connection is like whose server was demoted: it lives, but nothing can be written by it."""


async def test_a_writer_leaves_connections_to_a_server_that_was_demoted(database: Database) -> None:
    """On an engine of the caller's, too, which knows nothing of ours."""
    await prepare(database)
    engine = sqlalchemy.create_engine(database.url, isolation_level="AUTOCOMMIT", pool_size=2)
    with engine.connect() as first, engine.connect() as second:
        first.execute(DEMOTED)
        second.execute(DEMOTED)
    async with GroupWriter(engine) as writer:
        await writer.execute(Request("default", None, Create.of({})))
        await writer.execute_together([Request("default", None, Create.of({}))] * 2)
    engine.dispose()
    assert audit(database.url)["default"].head["size"] == 4


async def test_a_repository_leaves_connections_to_a_server_that_was_demoted(
    database: Database, engine: AsyncEngine
) -> None:
    await prepare(database)
    async with engine.connect() as first, engine.connect() as second:
        await first.execute(DEMOTED)
        await first.commit()
        await second.execute(DEMOTED)
        await second.commit()
    async with AsyncSession(engine) as session:
        await ExecutionRepository(session).update("job", {"message": "m"})
    assert audit(database.url)["default"].head["size"] == 2


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_in_a_callers_transaction_is_told_and_nothing_is_half_written(
    database: Database, engine: AsyncEngine, call: str, commit: bool
) -> None:
    await prepare(database)
    async with AsyncSession(engine) as session, engine.connect() as killer:
        unit = ExecutionRepository(session, commit=False)
        await unit.update("job", {"run_name": "of the same transaction"})
        await unit.flush()
        pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await killer.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        repository = ExecutionRepository(session, commit=commit)
        with pytest.raises(StoreUnavailable) as told:
            await _finish(CALLS[call], repository)
        assert type(told.value) is StoreUnavailable
        assert told.value.__cause__ is not None
        await session.rollback()
        assert audit(database.url)["default"].head["size"] == 1
        await _finish(CALLS[call], repository)
        await session.commit()
    ledger = audit(database.url)["default"]
    assert ledger.head["size"] == 1 + (call not in READS)
    assert ledger.rows[1]["run_name"] is None


async def _finish(call: Callable[[ExecutionRepository], Awaitable[Any]], repository: ExecutionRepository) -> None:
    await call(repository)
    await repository.flush()


async def test_a_server_that_stays_away_is_told_and_the_command_can_be_sent_again(
    own: Database, server: LocalServer
) -> None:
    await prepare(own)
    engine = create_engine(own.url)
    await warm(engine)
    request = Request("default", "job", Note.of("of the writer"), command_id="writer")
    async with GroupWriter(own.url, patience=0.1) as writer, AsyncSession(engine) as session:
        repository = ExecutionRepository(session)
        await asyncio.to_thread(server.kill)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: writer.execute(request),
            lambda: writer.execute_together([request, request]),
            lambda: writer.create_many([{"job_id": "bulk"}]),
            lambda: repository.add_note("job", "of the repository", command_id="repository"),
            lambda: repository.get("job"),
        ]
        for call in calls:
            with pytest.raises(LedgerError) as told:
                await call()
            assert type(told.value) is StoreUnavailable
        await asyncio.to_thread(server.restart)
        for call in calls:
            await call()
    await engine.dispose()
    assert audit(own.url)["default"].head["size"] == 4


@pytest.mark.parametrize("times", [1, 3])
async def test_connections_that_are_dead_one_after_the_other_are_a_database_that_is_away(
    database: Database, times: int
) -> None:
    await prepare(database)
    left = times

    def refuse(*_: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            raise sqlalchemy.exc.DisconnectionError

    engine = create_engine(database.url)
    async with AsyncSession(engine) as session:
        event.listen(engine.sync_engine, "checkout", refuse)
        repository = ExecutionRepository(session)
        if times == 3:  # more than the pool itself replaces
            with pytest.raises(StoreUnavailable):
                await repository.update("job", {"message": "refused"})
        assert await repository.update("job", {"message": "repository"}) is not None
    await engine.dispose()
    left = times
    writer_engine = create_writer_engine(database.url, 1, 10)
    event.listen(writer_engine, "checkout", refuse)
    async with GroupWriter(writer_engine) as writer:
        answers = await writer.execute_together([Request("default", "job", Note.of(f"{n}")) for n in range(2)])
    writer_engine.dispose()
    assert [getattr(answer, "version", answer) for answer in answers] == [3, 4]
