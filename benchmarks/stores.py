"""Databases to measure on: a PostgreSQL of our own with fsync on, the same with a slow flush, and SQLite."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from execution_ledger.infrastructure import migrate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the tests know how to start a PostgreSQL
from support.postgres import LocalServer, start_server

POSTGRESQL = "PostgreSQL"
SLOW = "PostgreSQL, flush of 2 ms"
SQLITE = "SQLite"
STORES = (POSTGRESQL, SLOW, SQLITE)

# The tests' server is small. These are PostgreSQL's own default, and room for all contenders' connections at once.
_SETTINGS = {"shared_buffers": "128MB", "max_connections": "500"}
# Whoever flushes for its group of commits first waits that many microseconds, however few others there are.
_SLOW_FLUSH = {"commit_delay": "2000", "commit_siblings": "0"}


class Stores:
    """Makes databases with the full schema: tables, indexes and triggers, as a migration leaves them."""

    def __init__(self, server: LocalServer, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._template = server.create_database()
        migrate(self._template)

    def create(self, store: str) -> str:
        """The URL of a new database."""
        if store == SQLITE:
            url = f"sqlite:///{self._folder}/{uuid4()}.db"
            migrate(url)
            return url
        url = self._server.create_database(self._template)
        if store == SLOW:
            for name, value in _SLOW_FLUSH.items():
                database = sql.Identifier(str(make_url(url).database))
                execute(url, sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, sql.Identifier(name), value))
        return url

    def copy(self, url: str) -> str:
        """A copy of a PostgreSQL database that nobody is connected to."""
        return self._server.create_database(url)

    def drop(self, url: str) -> None:
        """Drop a database that is large, or one of many."""
        if make_url(url).get_backend_name() != "sqlite":
            self._server.drop_database(url)

    def version(self) -> str:
        """The server's version."""
        with psycopg.connect(conninfo(self._template)) as connection:
            return str(connection.execute("SHOW server_version").fetchone()[0])  # type: ignore[index]


def conninfo(url: str) -> str:
    """The URL as psycopg takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def execute(url: str, *statements: LiteralString | sql.Composed) -> None:
    """Run statements on PostgreSQL, each in a transaction of its own."""
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def start_stores(*, fsync: bool) -> Iterator[Stores]:
    """Start the server; it and all files are gone at the end."""
    server = start_server(fsync)
    try:
        for name, value in _SETTINGS.items():
            execute(server.url, sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
        server.restart()
        with tempfile.TemporaryDirectory() as folder:
            yield Stores(server, Path(folder))
    finally:
        server.stop()
