"""Executions of a ledger, page by page, each page as it is at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, select

from ...infrastructure.connections import check_connection
from ...infrastructure.tables import execution_streams

_EVENTS = 4_000
"""Events of a page, unless one execution has more."""
_EXECUTIONS = 1_000


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A short transaction in which everything is as of its first read; nothing is written."""
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if sqlite:
            check_connection(connection)
            connection.exec_driver_sql("BEGIN")
        else:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        try:
            yield connection
        finally:
            connection.rollback()


def is_long(page: Sequence[Any]) -> bool:
    """Whether a page is one execution with more events than it should have."""
    return len(page) == 1 and page[0].version > _EVENTS


def read_page(connection: Connection, ledger: str, after: int) -> Sequence[Any]:
    """The streams with the next ids, as many as have a few thousand events together."""
    stream = execution_streams.c
    page = select(execution_streams).where(stream.ledger_id == ledger, stream.id > after).order_by(stream.id)
    rows, size = [], 0
    for row in connection.execute(page.limit(_EXECUTIONS)):
        if rows and size + row.version > _EVENTS:
            break
        rows.append(row)
        size += row.version
    return rows
