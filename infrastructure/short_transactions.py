"""Short transactions on connections of their own, beside whatever the caller's session does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from .connections import can_go_direct, check_connection, go_direct, write_transaction
from .database_errors import committing, translated

_T = TypeVar("_T")


async def transact(engine: AsyncEngine, work: Callable[[Connection], _T], *, single: bool = False) -> _T:
    """Run `work` and commit it.

    With `single`, what writes is one statement: on PostgreSQL it commits itself, so that a client that vanishes or is
    stopped halfway leaves no lock behind.
    """
    with translated():
        if single and engine.dialect.name != "sqlite":
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                return await connection.run_sync(work)
        async with engine.connect() as connection:
            done = await connection.run_sync(work_directly, work)
            with committing():
                await connection.commit()
            return done


def work_directly(connection: Connection, work: Callable[[Connection], _T]) -> _T:
    """Run `work`; on aiosqlite in its own thread, committed there: so the one lock of a file is had for less long."""
    if not can_go_direct(connection):
        return work(connection)
    check_connection(connection)

    def run(direct: Connection) -> _T:
        done = work(direct)
        with committing():
            direct.commit()
        return done

    return go_direct(connection, run)


@contextmanager
def short_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction of its own, committed at the end; on SQLite it has the write lock from its start."""
    with engine.connect() as connection:
        check_connection(connection)
        with write_transaction(connection, savepoint=False):
            yield connection
        connection.commit()
