"""Reads of single executions in groups: each answered by a statement that began after it, and alone in its errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import cast

import pytest
from sqlalchemy import QueuePool, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput, StoreUnavailable
from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository, create_engine, migrate
from execution_ledger.infrastructure.group_reader import GroupReader
from support.postgres import start_server


@pytest.fixture
async def reader(engine: AsyncEngine) -> AsyncIterator[GroupReader]:
    async with aclosing(GroupReader(engine)) as reader:
        yield reader


@pytest.fixture
def selects(engine: AsyncEngine) -> Iterator[list[str]]:
    """Every statement on the history that the engine has sent."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM execution_history" in statement:
            sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine.sync_engine, "before_cursor_execute", note)


async def make(sessions: async_sessionmaker[AsyncSession], ledger: str, *jobs: str) -> None:
    async with sessions() as session:
        repository = ExecutionRepository(session, ledger=ledger)
        for job in jobs:
            await repository.create_execution({"job_id": job, "inputs": {"of": [ledger, job]}})


def fields(row: ExecutionHistory | None) -> dict[str, object] | None:
    return None if row is None else {column.name: getattr(row, column.name) for column in row.__table__.columns}


async def test_reads_that_come_together_share_a_statement_and_find_what_the_repository_finds(
    reader: GroupReader, sessions: async_sessionmaker[AsyncSession], selects: list[str]
) -> None:
    await make(sessions, "red", "a", "b", "gone")
    await make(sessions, "blue", "a")
    async with sessions() as session:
        await ExecutionRepository(session, ledger="red").delete("gone")
        expected = [
            await ExecutionRepository(session, ledger=ledger).get_execution_by_job_id(job)
            for ledger, job in (("red", "a"), ("blue", "a"))
        ]
    selects.clear()
    wanted = [("red", "a"), ("blue", "a"), ("red", "b"), ("red", "gone"), ("green", "a"), ("red", "a"), ("red", "")]
    red, blue, b, gone, nowhere, same, empty = await asyncio.gather(*(reader.find(*each) for each in wanted))
    assert len(selects) == 3, "one for each ledger"
    assert [fields(red), fields(blue)] == [fields(each) for each in expected]
    assert (b.job_id, gone, nowhere, empty) == ("b", None, None, None)
    assert same is not red
    assert fields(same) == fields(red)


async def test_a_read_sees_what_was_written_before_it(
    reader: GroupReader, sessions: async_sessionmaker[AsyncSession]
) -> None:
    await make(sessions, "red", "a")
    busy = [asyncio.create_task(_read_on(reader)) for _ in range(5)]
    async with sessions() as session:
        repository = ExecutionRepository(session, ledger="red")
        for number in range(1, 30):
            await repository.update_execution("a", {"message": str(number)})
            assert (await reader.find("red", "a")).message == str(number)
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)


async def _read_on(reader: GroupReader) -> None:
    while True:
        await reader.find("red", "a")


async def test_a_key_that_none_can_have_is_refused_alone_and_one_who_leaves_disturbs_nobody(
    reader: GroupReader, sessions: async_sessionmaker[AsyncSession]
) -> None:
    await make(sessions, "red", "a")
    leaves = asyncio.create_task(reader.find("red", "a"))
    stays, refused = asyncio.create_task(reader.find("red", "a")), asyncio.create_task(reader.find("red", "x" * 256))
    await asyncio.sleep(0)
    leaves.cancel()
    assert (await stays).job_id == "a"
    with pytest.raises(InvalidInput, match="job_id"):
        await refused
    assert leaves.cancelled()


async def test_once_it_is_closed_no_connection_is_out_although_whoever_asked_has_left(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    await make(sessions, "red", "a")
    pool = cast(QueuePool, engine.pool)
    async with aclosing(GroupReader(engine)) as reader:
        leaves = asyncio.create_task(reader.find("red", "a"))
        while not pool.checkedout():
            await asyncio.sleep(0)
        leaves.cancel()
    assert not pool.checkedout()


@pytest.mark.store("postgresql")
async def test_without_its_database_each_is_told_and_later_ones_are_answered(store: str) -> None:
    server = await asyncio.to_thread(start_server)
    try:
        await asyncio.to_thread(migrate, server.url)
        engine = create_engine(server.url)
        reader = GroupReader(engine)
        assert await reader.find("red", "a") is None
        await asyncio.to_thread(server.restart)
        assert await reader.find("red", "a") is None, "the connection of before is replaced"
        await asyncio.to_thread(server.kill)
        told = await asyncio.gather(*(reader.find("red", "a") for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in told] == [StoreUnavailable] * 3
        await asyncio.to_thread(server.restart)
        assert await reader.find("red", "a") is None
        await engine.dispose()
    finally:
        await asyncio.to_thread(server.stop)
