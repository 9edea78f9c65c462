"""Databases for tests: every test that takes `database` (or what builds on it) runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from itertools import product
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import create_engine, create_schema
from support import Database
from support.postgres import URL_VARIABLE, Server, start_server

STORES = ("sqlite", "postgresql")
WAYS = ("database", "service")
"""To a ledger: the fixture `via`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", choices=STORES, help="run the tests of the stores on this one only")
    parser.addoption("--every-way", action="store_true", help="to each store by a service, and without one")


def pytest_configure(config: pytest.Config) -> None:
    """With pytest-xdist: start one server for all workers, which inherit the environment."""
    distributing = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if distributing and URL_VARIABLE not in os.environ and config.getoption("--store") != "sqlite":
        server = start_server()
        os.environ[URL_VARIABLE] = server.url
        config.add_cleanup(server.stop)


def pytest_collection_finish() -> None:
    """What was loaded stays: the garbage collector need not look at it over and over (a tenth of the tests' time)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store" not in metafunc.fixturenames:
        return
    only = metafunc.config.getoption("--store")
    marked = metafunc.definition.get_closest_marker("store")
    stores = [store for store in (marked.args if marked else STORES) if only in (None, store)]
    if "via" not in metafunc.fixturenames:
        metafunc.parametrize("store", stores)
    elif len(stores) == len(WAYS) and not metafunc.config.getoption("--every-way"):
        # Each store and each way is tried; that the one makes no difference to the other, `make soak` tries.
        metafunc.parametrize(("store", "via"), list(zip(STORES, WAYS, strict=True)))
    else:
        metafunc.parametrize(("store", "via"), list(product(stores, WAYS)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    url = os.environ.get(URL_VARIABLE)
    server = Server(url) if url else start_server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Server) -> Iterator[str]:
    url = postgres_server.create_database()
    _apply_schema(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    _apply_schema(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of this test's own: a copy of a template, since applying the schema each time would cost more."""
    if store == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "ledger.db")
        yield Database(store, f"sqlite+aiosqlite:///{path}")
    else:
        template: str = request.getfixturevalue("postgres_template")
        server: Server = request.getfixturevalue("postgres_server")
        url = server.create_database(template)
        yield Database(store, url)
        server.drop_database(url)


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.url)
    yield engine
    await engine.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(engine, expire_on_commit=False)


def _apply_schema(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    create_schema(engine)
    engine.dispose()  # nobody may be connected to a template; SQLite writes its log back into the file
