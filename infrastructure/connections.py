"""Engines of ours, and what we need of engines that are not ours."""

from __future__ import annotations

import asyncio
import re
import select
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, TypeVar

import aiosqlite
import sqlalchemy
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool
from sqlalchemy.util.concurrency import await_only, in_greenlet

from ..domain import EngineNotConfigured, InvalidInput
from .database_errors import committing, is_lost

BUSY_TIMEOUT = 30.0
"""Seconds that a writer waits for another one on SQLite."""

LOCK_TIMEOUT = 250
"""Milliseconds that a transaction of a writer waits for a lock."""

IDLE_TIMEOUT = 10
"""Seconds after which PostgreSQL ends a transaction of a process of ours that went silent in the middle of it."""

_ASYNC = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_SYNC = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_LIFE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""What libpq is told, so that no connection hangs for ever: seconds, but for the last."""
_CHECKED = "execution_ledger.checked"
_DIRECT = "execution_ledger.direct"
_T = TypeVar("_T")


def create_engine(url: str, **options: Any) -> AsyncEngine:
    """An async engine for `sqlite:///file.db` or `postgresql://user@host/name`; options go to SQLAlchemy."""
    options = _options(url, options)
    if parse_url(url).get_backend_name() == "sqlite":
        options["connect_args"] = {"async_creator_fn": _connect_sqlite} | options["connect_args"]
    engine = create_async_engine(_with_driver(url, _ASYNC), **options)
    _configure(engine.sync_engine)
    return engine


class _StoppedOnce(aiosqlite.Connection):
    """A connection that can be given up.

    Where a task is cancelled, SQLAlchemy stops its connection while it is being closed. To stop it once more, as
    closing does at its end, would wait for ever for a thread that has ended.
    """

    def stop(self) -> asyncio.Future[Any] | None:
        return super().stop() if self._running else None


def _connect_sqlite(*arguments: Any, **options: Any) -> aiosqlite.Connection:
    connection = _StoppedOnce(partial(sqlite3.connect, *arguments, **options), 64)
    connection._thread.daemon = True  # as SQLAlchemy does with its own: a process that ends waits for no lock
    return connection


def create_sync_engine(url: str, **options: Any) -> Engine:
    """The same for threads, migrations and the command line."""
    engine = sqlalchemy.create_engine(_with_driver(url, _SYNC), **_options(url, options))
    _configure(engine)
    return engine


def create_writer_engine(url: str, size: int, patience: float) -> Engine:
    """An engine for the threads of a writer: each statement by itself, and no connection that hangs for ever."""
    if parse_url(url).get_backend_name() == "sqlite":
        if parse_url(url).database in (None, "", ":memory:"):
            raise InvalidInput(
                field="database",
                problem="names no file",
                remedy="Name a file: a database in memory has one connection.",
            )
        engine = create_sync_engine(url)
        wait = f"PRAGMA busy_timeout = {max(1, int(patience * 1000))}"
        event.listen(engine, "connect", lambda connection, _: connection.execute(wait).close())
        return engine
    # What a group touches is in memory, so that looking up its keys costs next to nothing, whatever the default says.
    settings = "-c enable_seqscan=off -c random_page_cost=0.1"
    # So that whoever holds a ledger holds up no other one for long; the writer tries again.
    settings += f" -c lock_timeout={LOCK_TIMEOUT}"
    # A transaction whose client vanished must not keep its locks until the server finds out by itself.
    settings += f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT}s"
    return create_sync_engine(
        url,
        pool_size=size,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
        connect_args={"options": f"{settings} {parse_url(url).query.get('options', '')}".strip()},
    )


def parse_url(url: str) -> sqlalchemy.URL:
    """A database's URL, refused where it is none."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InvalidInput(
            field="database_url", problem="is not a database URL", remedy="Use sqlite:///file.db or postgresql://…"
        ) from error


def psycopg_url(url: sqlalchemy.URL) -> str:
    """The same database as psycopg itself takes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _with_driver(url: str, drivers: dict[str, str]) -> sqlalchemy.URL:
    parsed = parse_url(url)
    driver = drivers.get(parsed.get_backend_name())
    if driver is None:
        raise InvalidInput(
            field="database_url",
            problem=f"{parsed.get_backend_name()} is not supported",
            remedy="Use sqlite:///file.db or postgresql://user:password@host/name.",
        )
    return parsed.set(drivername=driver)


def _options(url: str, options: dict[str, Any]) -> dict[str, Any]:
    if parse_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT}} | options
    given = parse_url(url).query
    life = {name: value for name, value in _LIFE.items() if name not in given}
    return options | {"connect_args": life | options.get("connect_args", {})}


def _configure(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "savepoint", _begin_before_savepoint)
    elif engine.dialect.driver == "psycopg":
        event.listen(engine, "checkout", _refuse_dead)
        event.listen(engine, "handle_error", _give_up_lost)


def _refuse_dead(_: Any, record: Any, __: Any) -> None:
    """Have a connection that the server has ended replaced, without asking the server."""
    import psycopg  # here, since SQLite needs none of it

    pgconn = record.driver_connection.pgconn
    try:
        poll = select.poll()
        poll.register(pgconn.socket, select.POLLIN)
        while poll.poll(0):  # an idle connection has nothing to say but notices, and that it ends
            pgconn.consume_input()
    except psycopg.Error as error:
        raise DisconnectionError(str(error)) from error


def _give_up_lost(context: ExceptionContext) -> None:
    """Replace connections to a server that was demoted, too: they live, but the one to write to is elsewhere."""
    if isinstance(context.original_exception, Exception) and is_lost(context.original_exception):
        context.is_disconnect = True


def configure_sqlite(engine: AsyncEngine | Engine) -> None:
    """Make an engine of yours fit for the ledger: WAL, synchronous FULL, foreign keys on, a writer waits for another.

    Call it once, right after the engine was created. Other databases need nothing.
    """
    _configure(engine.sync_engine if isinstance(engine, AsyncEngine) else engine)


def _set_pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
    _switch_to_wal(cursor)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    # Processes that open a new file at once get in each other's way here, and SQLite's busy_timeout does not cover it.
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
        if in_greenlet():  # an async engine: other tasks go on meanwhile
            await_only(asyncio.sleep(0.01))
        else:
            time.sleep(0.01)


def _begin_before_savepoint(connection: Connection, _: str) -> None:
    # The driver begins no transaction for a savepoint, and releasing SQLite's outermost savepoint commits.
    if not _in_transaction(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def check_connection(connection: Connection) -> None:
    """Refuse a SQLite connection that would not keep what it acknowledged; asked once per connection."""
    if connection.dialect.name != "sqlite" or connection.info.get(_CHECKED):
        return
    asked = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")}
    asked |= {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("foreign_keys", "busy_timeout")}
    fit = {
        "journal_mode = WAL": asked["journal_mode"] in ("wal", "memory"),
        "synchronous = FULL": int(asked["synchronous"] or 0) >= 2,
        "foreign_keys = ON": bool(asked["foreign_keys"]),
        "a busy_timeout": int(asked["busy_timeout"] or 0) > 0,
    }
    if missing := [name for name, is_fit in fit.items() if not is_fit]:
        raise EngineNotConfigured(missing=", ".join(missing))
    connection.info[_CHECKED] = True


def can_go_direct(connection: Connection) -> bool:
    """Whether `go_direct` serves a connection: aiosqlite's, unless somebody listens to each statement."""
    return connection.dialect.driver == "aiosqlite" and not _is_heard(connection)


def _is_heard(connection: Connection) -> bool:
    """Whether somebody listens to each statement."""
    listening = connection.engine.dispatch
    hooked = listening.before_cursor_execute or listening.after_cursor_execute
    return bool(hooked or listening.before_execute or listening.after_execute or connection.engine.echo)


def go_direct(connection: Connection, work: Callable[[Connection], _T]) -> _T:
    """Run `work` in the thread that owns an aiosqlite connection: one hop between threads in place of four a statement.

    `work` gets an ordinary connection over the same file handle, and ends its own transaction.
    """
    driver: Any = connection.connection.driver_connection
    engine = connection.info.get(_DIRECT)
    if engine is None:
        raw = driver._conn
        engine = connection.info[_DIRECT] = sqlalchemy.create_engine(
            "sqlite://", creator=lambda: raw, poolclass=StaticPool, pool_reset_on_return=None
        )

    def run() -> _T:
        with engine.connect() as direct:
            direct.info[_CHECKED] = True
            return work(direct)

    # aiosqlite has no public name for this.
    return await_only(driver._execute(run))


def send(connection: Connection, statement: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
    """Run a statement with `:name` parameters, and return its rows as the driver gives them.

    With psycopg it goes past SQLAlchemy, which takes a tenth of a small write's time to build a context and a result,
    unless somebody listens to each statement.
    """
    driver: Any = connection.connection.driver_connection
    is_psycopg = connection.dialect.driver in ("psycopg", "psycopg_async")
    if not is_psycopg or _is_heard(connection) or not (driver.autocommit or connection.in_transaction()):
        return connection.execute(sqlalchemy.text(statement), parameters).all()
    try:
        if connection.dialect.is_async:
            return await_only(_fetch(driver, _to_psycopg(statement), parameters))
        return driver.execute(_to_psycopg(statement), parameters).fetchall()
    except BaseException as error:
        # No public name: what SQLAlchemy does about an error of its own statements, which raises the one to be told.
        of_driver = isinstance(error, connection.dialect.loaded_dbapi.Error)
        connection._handle_dbapi_exception(error, statement if of_driver else None, parameters, None, None)
        raise


async def _fetch(driver: Any, statement: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
    cursor = await driver.execute(statement, parameters)
    return await cursor.fetchall()


@lru_cache(maxsize=1024)
def _to_psycopg(statement: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", statement)


@contextmanager
def write_transaction(connection: Connection, *, savepoint: bool, begin: bool = False) -> Iterator[None]:
    """Run a write. On SQLite the write lock is taken before anything is read; what fails leaves nothing behind.

    With `savepoint`, a failed statement on PostgreSQL does not abort the caller's transaction. With `begin`, several
    statements on a connection in autocommit mode are one transaction, committed at the end.
    """
    if connection.dialect.name == "sqlite":
        begins = None if _in_transaction(connection) else "BEGIN IMMEDIATE"
    else:
        begins = "BEGIN" if begin else None
    if begins is not None:
        connection.exec_driver_sql(begins)
        try:
            yield
            if begin and connection.dialect.name != "sqlite":
                connection.exec_driver_sql("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
    elif savepoint or connection.dialect.name == "sqlite":
        with connection.begin_nested():
            yield
    else:
        yield


@contextmanager
def committed(connection: Connection) -> Iterator[None]:
    """A transaction of its own on a connection that has none, committed at the end."""
    with write_transaction(connection, savepoint=False, begin=True):
        yield
    if connection.dialect.name == "sqlite":
        with committing():
            _commit_or_roll_back(connection)


def _commit_or_roll_back(connection: Connection) -> None:
    try:
        connection.commit()
    except BaseException:
        # SQLAlchemy would give the connection back as it is: with the transaction open, for whoever is next.
        if not connection.invalidated:
            connection.connection.rollback()
        raise


def _roll_back(connection: Connection) -> None:
    # SQLite has rolled back by itself after some errors, and a lost connection has nothing to roll back.
    if not connection.invalidated and (connection.dialect.name != "sqlite" or _in_transaction(connection)):
        connection.exec_driver_sql("ROLLBACK")


def _in_transaction(connection: Connection) -> bool:
    # SQLite's own word: SQLAlchemy says "in transaction" from the first read on, where the database has none yet.
    driver: Any = connection.connection.driver_connection
    return bool(driver.in_transaction)
