"""What a test reads straight from the tables, with code of its own."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import Engine, Row, Select, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import fold
from execution_ledger.infrastructure import EXECUTIONS, Entity, metadata
from execution_ledger.infrastructure.codec import decode_event
from execution_ledger.infrastructure.tables import execution_events, ledgers

Sessions = async_sessionmaker[AsyncSession]


async def rows(source: AsyncEngine | Sessions, statement: Select[Any]) -> list[Row[Any]]:
    """Rows of a statement, read in a session of their own."""
    sessions = async_sessionmaker(source) if isinstance(source, AsyncEngine) else source
    async with sessions() as session:
        return list((await session.execute(statement)).all())


async def events(source: AsyncEngine | Sessions, ledger: str = "default") -> list[Row[Any]]:
    """The stored events of a ledger, in order."""
    column = execution_events.c
    return await rows(source, select(execution_events).where(column.ledger_id == ledger).order_by(column.position))


async def types(source: AsyncEngine | Sessions, ledger: str = "default") -> list[str]:
    """The stored names of a ledger's events, in order, without their prefix."""
    return [row.type.partition(".")[2] for row in await events(source, ledger)]


async def head(source: AsyncEngine | Sessions, ledger: str = "default") -> Mapping[str, Any]:
    """The head row of a ledger; empty where it has none."""
    found = await rows(source, select(ledgers).where(ledgers.c.ledger_id == ledger))
    return found[0]._mapping if found else {}


async def everything(source: AsyncEngine | Sessions) -> dict[str, list[Any]]:
    """All rows of all tables, to see that something changed nothing."""
    return {name: sorted(map(repr, await rows(source, select(table)))) for name, table in metadata.tables.items()}


async def check_all(source: AsyncEngine | Sessions, *others: str) -> None:
    """Check every ledger of executions; `others` hold other entities."""
    for row in await rows(source, select(ledgers.c.ledger_id)):
        if row.ledger_id not in others:
            await check_ledger(source, row.ledger_id)


async def check_ledger(source: AsyncEngine | Sessions, ledger: str = "default", entity: Entity = EXECUTIONS) -> None:
    """Whatever must hold of a ledger at any time: gapless, counted right, and every row the fold of its events."""
    stored = await events(source, ledger)
    assert [row.position for row in stored] == list(range(1, len(stored) + 1))
    streams: dict[Any, list[Any]] = {}
    for row in stored:
        streams.setdefault(row.execution_id, []).append(row)
        digest = sha256(row.salt + row.data.encode()).digest()
        assert row.payload_digest == digest
    for each in streams.values():
        assert [row.version for row in each] == list(range(1, len(each) + 1))
        assert [row.recorded_at for row in each] == sorted(row.recorded_at for row in each)
    folded = {
        number: {"ledger_id": ledger, "id": number} | state
        for number, each in enumerate(streams.values(), 1)
        if (state := fold(decode_event(row, entity.catalog) for row in each)) is not None
    }
    table = entity.table
    found = await rows(source, select(table).where(table.c.ledger_id == ledger))
    blank = dict.fromkeys(table.columns.keys())
    assert {row.id: dict(row._mapping) for row in found} == {number: blank | row for number, row in folded.items()}
    counters = await head(source, ledger)
    if not counters:
        assert not stored
        return
    assert (counters["size"], counters["last_id"], counters["executions"]) == (len(stored), len(streams), len(folded))
    for status in ("pending", "preparing", "running", "waiting_for_approval", "stopping", *ENDS):
        assert counters[status] == sum(row.get("status") == status for row in folded.values()), status


ENDS = ("stopped", "completed", "failed", "rejected", "cancelled")


def execute(engine: Engine, *statements: str) -> None:
    """Run plain SQL in one transaction."""
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
