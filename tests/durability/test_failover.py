"""Two addresses in the URL: when the first server dies or is demoted, everybody goes on at the second by himself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from durability.journal import Journal
from durability.load import prepare, run
from sqlalchemy import make_url

from execution_ledger.infrastructure import migrate
from support.postgres import LocalServer, start_server, start_standby

pytestmark = pytest.mark.store("postgresql")


@pytest.fixture
def pair() -> Iterator[tuple[LocalServer, LocalServer]]:
    """A primary and its standby; what is acknowledged is on both."""
    primary = start_server(fsync=True)
    standby = start_standby(primary)
    yield primary, standby
    standby.stop()
    primary.stop()


def both(primary: str, standby: str) -> str:
    """A URL that leads to whichever of two servers takes writes."""
    hosts = [f"{url.host}:{url.port}" for url in map(make_url, (primary, standby))]
    url = make_url(primary).set(host=None, port=None)
    return url.update_query_dict({"host": hosts, "target_session_attrs": "read-write"}).render_as_string(False)


def die(primary: LocalServer, standby: LocalServer) -> None:
    """The machine is gone; whoever watches over the pair promotes the other."""
    primary.kill()
    standby.promote()


def be_demoted(primary: LocalServer, standby: LocalServer) -> None:
    """The connections live on, but nothing can be written by them."""
    conninfo = make_url(primary.url).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        while connection.execute("SHOW default_transaction_read_only").fetchone() != ("on",):
            pass
        time.sleep(0.2)  # others hear of it as soon as their command ends
        # A transaction that began before may still write: its commit would wait for the standby, which follows no more.
        older = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND xact_start < %s"
        now = connection.execute("SELECT clock_timestamp()").fetchone()
        assert now is not None
        while connection.execute(older, now).fetchone() != (0,):
            pass
    standby.promote()


@pytest.mark.parametrize("happen", [die, be_demoted])
async def test_clients_go_on_at_the_second_address(
    pair: tuple[LocalServer, LocalServer], store: str, happen: Callable[[LocalServer, LocalServer], None]
) -> None:
    primary, standby = pair
    database = primary.create_database()
    url = both(database, standby.url)
    await asyncio.to_thread(migrate, url)
    await prepare(url)
    journal, stop = Journal(), asyncio.Event()
    task = asyncio.create_task(run(url, "life1", [], lambda **line: journal.note(line), stop))

    async def wait_for(more: int) -> None:
        await asyncio.to_thread(journal.wait_for, more, lambda: not task.done())

    await wait_for(200)
    await asyncio.to_thread(happen, primary, standby)
    await wait_for(200)
    stop.set()
    await task
    assert journal.unanswered() == []
    journal.check(make_url(standby.url).set(database=make_url(database).database).render_as_string(False))
    await journal.ask_again(url)
    assert {client for client, _ in journal.troubles} <= {"session", "unit"}, "writers go on by themselves"
    print(f"\n{len(journal.sent)} commands, troubles: {dict(journal.troubles)}")
