"""Writers, servers and connections are killed under load; whatever was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from durability.load import prepare
from durability.writers import Writers
from sqlalchemy import make_url

from execution_ledger.infrastructure import create_schema, create_sync_engine
from support import Database
from support.postgres import LocalServer

Report = Callable[[str, object], None]
SOAK = pytest.mark.soak


@pytest.fixture
def durable(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database that loses nothing: fsync is on."""
    if store == "postgresql":
        return request.getfixturevalue("own")
    engine = create_sync_engine(f"sqlite:///{tmp_path}/ledger.db")
    create_schema(engine)
    engine.dispose()
    return Database(store, f"sqlite:///{tmp_path}/ledger.db")


def settle(writers: Writers, url: str, report: Report) -> None:
    """Whatever was sent got its answer; now everything must agree."""
    journal = writers.journal
    assert journal.unanswered() == []
    ledgers = journal.check(url)
    asyncio.run(journal.ask_again(url))
    assert {name: ledger.head for name, ledger in journal.check(url).items()} == {
        name: ledger.head for name, ledger in ledgers.items()
    }
    report("commands", len(journal.sent))
    report("troubles", dict(journal.troubles))
    print(f"\n{len(journal.sent)} commands, {len(journal.done)} acknowledged, troubles: {dict(journal.troubles)}")


def any_moment() -> None:
    """Let some milliseconds pass: acknowledgments come in groups, and it is to be struck between them, too."""
    time.sleep(random.uniform(0, 0.02))


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=SOAK)])
def test_a_writer_that_is_killed(durable: Database, times: int, record_property: Report) -> None:
    asyncio.run(prepare(durable.url))
    with Writers(durable.url) as writers:
        for _ in range(times):
            writers.begin()
            writers.wait_for(random.randint(1, 200))
            any_moment()
            writers.kill()
            writers.journal.glance(durable.url)
        writers.begin()
        writers.wait_for(50)
        writers.stop()
        settle(writers, durable.url, record_property)


@pytest.mark.store("postgresql")
@pytest.mark.parametrize("times", [5, pytest.param(200, marks=SOAK)])
def test_a_server_that_is_killed(
    own: Database, server: LocalServer, store: str, times: int, record_property: Report
) -> None:
    asyncio.run(prepare(own.url))
    with Writers(own.url) as writers:
        writers.begin()
        for _ in range(times):
            writers.wait_for(random.randint(100, 300))
            any_moment()
            server.kill()
            server.restart()
            writers.journal.glance(own.url)
        writers.wait_for(100)
        writers.stop()
        settle(writers, own.url, record_property)
        assert {client for client, _ in writers.journal.troubles} <= {"session", "unit"}, "writers go on by themselves"


@pytest.mark.store("postgresql")
@pytest.mark.parametrize("how", ["ended", "killed"])
def test_connections_that_are_ended_one_at_a_time(
    own: Database, server: LocalServer, store: str, how: str, record_property: Report
) -> None:
    asyncio.run(prepare(own.url))
    conninfo = make_url(own.url).set(drivername="postgresql", database="postgres").render_as_string(False)
    database = make_url(own.url).database
    with Writers(own.url) as writers:
        writers.begin()
        for _ in range(30 if how == "ended" else 3):
            writers.wait_for(random.randint(1, 60) if how == "ended" else 100)
            with psycopg.connect(conninfo, autocommit=True) as connection:
                statement = "SELECT pid FROM pg_stat_activity WHERE datname = %s ORDER BY random() LIMIT 1"
                found = connection.execute(statement, [database]).fetchone()
                if found and how == "ended":
                    connection.execute("SELECT pg_terminate_backend(%s)", found)
                elif found:
                    for backend in psutil.Process(server.pid).children():
                        if backend.pid == found[0]:
                            backend.kill()  # the server ends all the others, and recovers
        writers.wait_for(100)
        writers.stop()
        settle(writers, own.url, record_property)
        assert {client for client, _ in writers.journal.troubles} <= {"session", "unit"}, "writers go on by themselves"
