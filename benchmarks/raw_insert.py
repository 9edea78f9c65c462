"""The floor under any design that commits each update by itself: one ready-made row, one statement, one commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from secrets import token_bytes
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
from psycopg import AsyncConnection, sql

from execution_ledger.domain import EventRow

from .contenders import Client
from .stores import conninfo, execute

_COLUMNS = ("ledger_id", "position", *EventRow._fields)
_INSERT = sql.SQL("INSERT INTO raw_events ({}) VALUES ({})").format(
    sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)), sql.SQL(", ").join(sql.Placeholder() * len(_COLUMNS))
)


class RawContender:
    """Single-row inserts into a copy of `execution_events` with all its indexes: no rules, no hashes, no history."""

    def __init__(self, url: str) -> None:
        execute(url, "CREATE TABLE raw_events (LIKE execution_events INCLUDING ALL)")
        self._conninfo = conninfo(url)
        self._positions = count(1)  # given by the client: nobody waits for a head
        self._free: list[AsyncConnection[Any]] = []

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        if self._free:  # as from a pool: its statements are prepared already
            connection = self._free.pop()
        else:
            connection = await AsyncConnection.connect(self._conninfo, autocommit=True)
        yield _RawClient(connection, self._positions)
        self._free.append(connection)

    async def close(self) -> None:
        for connection in self._free:
            await connection.close()


class _RawClient:
    def __init__(self, connection: AsyncConnection[Any], positions: count[int]) -> None:
        self._connection, self._positions = connection, positions
        self._versions: dict[UUID, int] = {}
        self._digest, self._salt = token_bytes(32), token_bytes(16)

    async def create(self) -> UUID:
        target = uuid4()
        self._versions[target] = 0
        return target

    async def update(self, target: UUID, text: str) -> None:
        self._versions[target] += 1
        row = EventRow(
            execution_id=target,
            version=self._versions[target],
            type="execution.details_changed",
            schema_version=1,
            data=msgspec.json.encode({"message": text}).decode(),
            salt=self._salt,
            payload_digest=self._digest,
            leaf_hash=self._digest,
            recorded_at=datetime.now(UTC),
            occurred_at=None,
            actor=None,
            reason=None,
            correlation_id=None,
            causation_id=None,
            trace_id=None,
            command_id=None,
        )
        values = cast("list[Any]", ["default", next(self._positions), *row])
        await self._connection.execute(_INSERT, values, prepare=True)
