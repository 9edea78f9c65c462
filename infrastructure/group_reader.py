"""Reads of single entities by key in groups: those that come while one statement is under way share the next one."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from ..domain import StoreUnavailable
from ..domain.limits import KEY_LENGTH
from ..domain.values import check_text
from .database_errors import translated
from .entity import EXECUTIONS, Entity

_MOST = 500
"""Reads of one statement."""


class _Read(NamedTuple):
    ledger: str
    key: str
    answer: asyncio.Future[Any]


class GroupReader:
    """Finds entities as the repository does. A read is answered by a statement that began after it, so none is stale.

    Of one event loop. Where nobody else reads, each read is a statement of its own, at once. Close it by `aclose`
    before its engine is disposed of.
    """

    def __init__(self, engine: AsyncEngine, entity: Entity = EXECUTIONS) -> None:
        # Without a transaction around it: a single statement needs none, and each is a journey to the database.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._entity = entity
        table = entity.table
        keys = entity.key_column.in_(bindparam("keys", expanding=True))
        self._statement = select(table).where(table.c.ledger_id == bindparam("ledger"), keys)
        self._waiting: list[_Read] = []
        self._task: asyncio.Task[None] | None = None

    async def find(self, ledger: str, key: str) -> Any | None:
        """The entity with this key as it is now, or None."""
        check_text(key, self._entity.aggregate.key_field, KEY_LENGTH)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Read(ledger, key, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await answer

    async def aclose(self) -> None:
        """Wait until all is read: whoever asked may be gone, and the connection is still to go back."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                rows = await self._read_or_again(group)
            except Exception as error:
                for read in group:
                    if not read.answer.done():
                        read.answer.set_exception(error)
                continue
            for read in group:
                row = rows.get((read.ledger, read.key))
                if not read.answer.done():
                    read.answer.set_result(None if row is None else self._entity.load(row))
        self._task = None

    async def _read_or_again(self, group: list[_Read]) -> dict[tuple[str, str], Any]:
        try:
            return await self._read(group)
        except StoreUnavailable:  # the connection may have been of a server that is gone
            return await self._read(group)

    async def _read(self, group: list[_Read]) -> dict[tuple[str, str], Any]:
        by_ledger: dict[str, set[str]] = {}
        for read in group:
            by_ledger.setdefault(read.ledger, set()).add(read.key)
        rows: dict[tuple[str, str], Any] = {}
        with translated():
            async with self._engine.connect() as connection:
                for ledger, keys in by_ledger.items():
                    found = await connection.execute(self._statement, {"ledger": ledger, "keys": sorted(keys)})
                    rows |= {(ledger, row[self._entity.key_column]): row for row in found.mappings()}
        return rows
