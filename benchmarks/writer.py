"""All that the benchmark asks of the group-commit writer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.domain import Create, Update
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_engine

from .contenders import Client, RepositoryContender


class WriterContender:
    """Clients that hand their commands to one writer, spread evenly over its ledgers. Whoever opened it closes it."""

    def __init__(self, writer: GroupWriter, *, ledgers: int = 1, with_ids: bool = False) -> None:
        self._writer, self._with_ids = writer, with_ids
        self._ledgers = [ledger_name(number) for number in range(ledgers)]
        self._clients = 0

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        ledger = self._ledgers[self._clients % len(self._ledgers)]
        self._clients += 1
        yield _WriterClient(self._writer, ledger, self._with_ids)

    async def close(self) -> None:
        """Nothing of its own."""


class _WriterClient:
    def __init__(self, writer: GroupWriter, ledger: str, with_ids: bool) -> None:
        self._writer, self._ledger, self._with_ids = writer, ledger, with_ids

    async def create(self) -> int:
        return await create(self._writer, self._ledger)

    async def update(self, target: int, text: str) -> None:
        command_id = str(uuid4()) if self._with_ids else None
        await self._writer.execute(Request(self._ledger, target, Update.of({"message": text}), command_id=command_id))


def ledger_name(number: int) -> str:
    """The first one is the default ledger."""
    return f"ledger-{number}" if number else "default"


async def create(writer: GroupWriter, ledger: str) -> int:
    """Create an execution, and answer its id."""
    command = Create.of({"job_id": str(uuid4()), "inputs": {"a": 1}})
    outcome = await writer.execute(Request(ledger, command.details.job_id, command))
    assert outcome is not None
    return outcome.id


async def create_many(writer: GroupWriter, ledger: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Create executions in bulk, and answer how many."""
    report = await writer.create_many(rows, ledger=ledger)
    assert not report.refused, report
    return report.done


def open_repository(url: str, clients: int, writer: GroupWriter) -> RepositoryContender:
    """The repository as an application has it: reads through its session, writes through the writer."""

    def repository(session: AsyncSession) -> ExecutionRepository:
        return ExecutionRepository(session, writer=writer)

    return RepositoryContender(create_engine(url, pool_size=clients), repository)
