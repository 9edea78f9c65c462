"""The baseline of bulk creation: rows that are made before the clock starts, sent by COPY in one transaction."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, sql
from psycopg.copy import Copy, FileWriter

from execution_ledger.domain import Create, EventRow
from execution_ledger.infrastructure import EXECUTIONS, EventStore, Request
from execution_ledger.infrastructure.batch import make_batch
from execution_ledger.infrastructure.streams import Found

from .stores import conninfo

_STREAM = ("job_id", "version", "status", "started_at", "last_recorded_at", "deleted")
_HEAD = sql.SQL(
    "UPDATE ledgers SET size = size + %(n)s, last_id = last_id + %(n)s, executions = executions + %(n)s, "
    "pending = pending + %(n)s WHERE ledger_id = %(ledger)s"
)
_BLOCK = 2**17


class _Rows(NamedTuple):
    """Rows of one table."""

    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def copy_new(url: str, ledger: str, data: Iterable[Mapping[str, Any]], *, as_text: bool) -> float:
    """Fill a new ledger, and answer how many executions a second; with `as_text` nothing is left to format."""
    tables = _make_rows(ledger, data)
    number = len(tables[0].rows)
    with psycopg.connect(conninfo(url)) as connection:
        connection.execute("INSERT INTO ledgers (ledger_id, created_at) VALUES (%s, now())", [ledger])
        connection.commit()
        texts = [_format(connection, table) for table in tables] if as_text else []
        begin = perf_counter()
        for at, table in enumerate(tables):
            names = sql.SQL(", ").join(map(sql.Identifier, table.columns))
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.table), names)
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                if as_text:
                    for start in range(0, len(texts[at]), _BLOCK):
                        copy.write(texts[at][start : start + _BLOCK])
                else:
                    for row in table.rows:
                        copy.write_row(row)
        connection.execute(_HEAD, {"n": number, "ledger": ledger})  # last, as everybody does
        connection.commit()
        return number / (perf_counter() - begin)


def _make_rows(ledger: str, data: Iterable[Mapping[str, Any]]) -> list[_Rows]:
    """The rows that the ledger itself would write, hashes and all."""
    store, unknown = EventStore(), Found(True, None, {}, None)
    works = [store.decide(Request(ledger, None, Create.of(each)), unknown) for each in data]
    batch = make_batch(ledger, [work for work in works if work is not None])
    streams = [
        (ledger, state.execution_id, id, state.key, *(getattr(state, name) for name in _STREAM[1:]))
        for id, state in enumerate(batch.born, 1)
    ]
    events = [(ledger, position, *event) for position, event in enumerate(batch.events, 1)]
    columns = tuple(batch.inserts[0].values)
    history = [
        (ledger, insert.ordinal, *map(EXECUTIONS.to_database(insert.values).get, columns)) for insert in batch.inserts
    ]
    return [
        _Rows("execution_streams", ("ledger_id", "execution_id", "id", *_STREAM), streams),
        _Rows("execution_events", ("ledger_id", "position", *EventRow._fields), events),
        _Rows("execution_history", ("ledger_id", "id", *columns), history),
    ]


def _format(connection: Connection[Any], table: _Rows) -> bytes:
    with io.BytesIO() as file, connection.cursor() as cursor:
        with Copy(cursor, writer=FileWriter(file)) as copy:
            for row in table.rows:
                copy.write_row(row)
        return file.getvalue()
