"""Connections that cannot be had: too few in a pool, too many on the server, and a server that never says a word."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import NullPool

from execution_ledger.domain import Create, LedgerBusy, StoreUnavailable
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_engine, create_sync_engine
from execution_ledger.infrastructure.connections import IDLE_TIMEOUT, create_writer_engine
from support import Database
from support.audit import audit


def create(ledger: str = "default", command_id: str | None = None) -> Request:
    return Request(ledger, None, Create.of({}), command_id=command_id)


@pytest.fixture
def admin(database: Database) -> Iterator[Engine]:
    engine = create_sync_engine(database.url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def of_two(database: Database, admin: Engine) -> Iterator[str]:
    """A URL for a user that may have two connections."""
    name, password = f"two_{secrets.token_hex(6)}", secrets.token_hex(6)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' CONNECTION LIMIT 2")
        connection.exec_driver_sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    yield make_url(database.url).set(username=name, password=password).render_as_string(False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {name}")
        connection.exec_driver_sql(f"DROP ROLE {name}")


async def test_a_pool_that_is_used_up_is_told_to_whoever_brought_it(database: Database) -> None:
    engine = create_sync_engine(database.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    async with GroupWriter(engine) as writer:
        with engine.connect(), pytest.raises(LedgerBusy, match="larger pool") as told:
            await writer.execute(create())
        assert told.value.__cause__ is not None
        await writer.execute(create())
    engine.dispose()


@pytest.mark.store("postgresql")
async def test_a_writer_needs_no_more_connections_than_it_has_workers(database: Database, of_two: str) -> None:
    async with GroupWriter(of_two, workers=2, patience=0) as writer:
        for _ in range(5):
            await asyncio.gather(*(writer.execute(create(f"ledger-{at % 20}")) for at in range(200)))
    assert sum(ledger.head["size"] for ledger in audit(database.url).values()) == 1000


@pytest.mark.store("postgresql")
async def test_too_many_connections_are_waited_for(database: Database, of_two: str) -> None:
    others = create_sync_engine(of_two, poolclass=NullPool)
    engine = create_writer_engine(of_two, 1, 0)
    refused, loop = asyncio.Event(), asyncio.get_running_loop()

    @event.listens_for(engine, "handle_error")
    def notice(_: object) -> None:
        loop.call_soon_threadsafe(refused.set)

    async with GroupWriter(engine, patience=60) as writer:
        with others.connect(), others.connect():
            task = asyncio.create_task(writer.execute(create()))
            await refused.wait()
            assert not task.done()
        assert (await task) is not None
    engine.dispose()


@pytest.mark.store("postgresql")
async def test_too_many_connections_are_told_in_the_end(database: Database, of_two: str) -> None:
    others, engine = create_sync_engine(of_two, poolclass=NullPool), create_engine(of_two)
    async with GroupWriter(of_two, patience=0.05) as writer, AsyncSession(engine) as session:
        repository = ExecutionRepository(session)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: writer.execute(create()),
            lambda: repository.create({}),
            lambda: repository.get(1),
        ]
        with others.connect(), others.connect():
            for call in calls:
                with pytest.raises(StoreUnavailable, match="too many connections"):
                    await call()
        for call in calls:
            assert await call() is not None
    await engine.dispose()


@asynccontextmanager
async def silence() -> AsyncIterator[int]:
    """A port where everybody is let in, and nobody ever gets an answer."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in writers:
        writer.close()


@pytest.mark.store("postgresql")
async def test_a_server_that_never_answers_is_given_up(database: Database) -> None:
    async with silence() as port:
        url = make_url(database.url).set(port=port).update_query_dict({"connect_timeout": "2"}).render_as_string(False)
        engine = create_engine(url)
        async with GroupWriter(url, patience=0) as writer, AsyncSession(engine) as session:
            told = await asyncio.gather(
                writer.execute(create()), ExecutionRepository(session).get(1), return_exceptions=True
            )
        await engine.dispose()
    for error in told:
        assert type(error) is StoreUnavailable
        assert "timeout" in str(error)


@pytest.mark.store("postgresql")
async def test_a_server_that_never_answers_is_passed_over_for_the_next_one(database: Database) -> None:
    async with silence() as port:
        server = make_url(database.url)
        hosts = [f"127.0.0.1:{port}", f"{server.host}:{server.port}"]
        url = server.set(host=None, port=None).update_query_dict({"host": hosts, "connect_timeout": "2"})
        async with GroupWriter(url.render_as_string(False), patience=0) as writer:
            assert await writer.execute(create()) is not None


@pytest.mark.store("postgresql")
async def test_connections_are_watched_by_the_operating_system(database: Database) -> None:
    engine = create_engine(database.url)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        with socket.socket(fileno=socket.dup(driver.pgconn.socket)) as ours:
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            names = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
            for name, expected in names.items():
                if hasattr(socket, name):  # not every system has each of them
                    assert ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == expected, name
    await engine.dispose()


@pytest.mark.store("postgresql")
async def test_what_the_url_says_of_connections_stands(database: Database) -> None:
    url = make_url(database.url).update_query_dict(
        {"keepalives_idle": "77", "options": "-c lock_timeout=7s -c application_name=mine"}
    )
    engine = create_writer_engine(url.render_as_string(False), 1, 0)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "7s"
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "mine"
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == f"{IDLE_TIMEOUT}s"
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.get_parameters()["keepalives_idle"] == "77"
    engine.dispose()
