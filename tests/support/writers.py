"""Writers under watch, commands for them, and a database that is held against them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition
from typing import Any

from sqlalchemy import Engine, event

from execution_ledger.domain import Context, Create, Delete, Note, Update
from execution_ledger.infrastructure import GroupWriter, Request, create_sync_engine
from execution_ledger.infrastructure.connections import create_writer_engine
from support import Database

TIMEOUT = 60.0
"""Seconds after which what a test waits for will never come."""


class Watch:
    """Every statement that an engine sends."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.statements: list[str] = []
        self._changed = Condition()
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        with self._changed:
            self.statements.append(statement)
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self.statements.clear()

    def wait(self, beginning: str = "") -> None:
        """Until a statement that begins so was sent."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(_begins(beginning), self.statements)), TIMEOUT)

    async def sent(self, beginning: str = "") -> None:
        """The same for coroutines."""
        await asyncio.to_thread(self.wait, beginning)


def _begins(beginning: str) -> Any:
    return lambda statement: statement.startswith(beginning)


class WatchedWriter(GroupWriter):
    """A writer over an engine that is watched."""

    def __init__(self, database: Database, *, workers: int = 4, patience: float = 10.0, **options: Any) -> None:
        self.watch = Watch(create_writer_engine(database.url, workers, patience))
        super().__init__(self.watch.engine, workers=workers, patience=patience, **options)


def watch_appends(writer: GroupWriter) -> list[int]:
    """The number of events of each append from now on."""
    sizes: list[int] = []

    def watched(append: Callable[..., Any]) -> Callable[..., Any]:
        def count(connection: Any, batches: Any, **options: Any) -> Any:
            appended = append(connection, batches, **options)
            if appended is not None:
                sizes.append(sum(len(batch.events) for batch in batches))
            return appended

        return count

    store: Any = writer.store
    store.append_all, store.append_alone = watched(store.append_all), watched(store.append_alone)
    return sizes


OpenWriter = Callable[..., WatchedWriter]
"""Makes writers with options of their own, that are closed when the test is over."""


@contextmanager
def held(database: Database) -> Iterator[None]:
    """Nobody else can write to the database meanwhile; who reads is not in the way."""
    engine = create_sync_engine(database.url)
    with engine.connect() as connection:
        exclusive = "BEGIN IMMEDIATE"
        if database.kind == "postgresql":
            exclusive = "LOCK TABLE execution_streams, ledgers IN EXCLUSIVE MODE"
        connection.exec_driver_sql(exclusive)
        try:
            yield
        finally:
            connection.exec_driver_sql("ROLLBACK")
    engine.dispose()


async def queue(writer: GroupWriter, *requests: Request | Sequence[Request]) -> list[asyncio.Future[Any]]:
    """Send each by itself, and return once the writer's threads could take them."""
    futures = [await writer.send([each] if isinstance(each, Request) else each, rows=True) for each in requests]
    await asyncio.sleep(0)  # they are handed over in this round of the loop
    return futures


def create(job_id: str | None = None, ledger: str = "default", command_id: str | None = None, **fields: Any) -> Request:
    """A command that creates an execution."""
    command = Create.of(fields if job_id is None else {"job_id": job_id, **fields})
    return Request(ledger, job_id, command, command_id=command_id)


def update(
    target: int | str,
    ledger: str = "default",
    *,
    expected_version: int | None = None,
    command_id: str | None = None,
    actor: str | None = None,
    **fields: Any,
) -> Request:
    """A command that changes an execution."""
    command = Update.of(fields)
    return Request(ledger, target, command, Context(actor=actor), expected_version, command_id)


def note(target: int | str, text: str, ledger: str = "default", command_id: str | None = None) -> Request:
    """A command that always gives one event."""
    return Request(ledger, target, Note.of(text), command_id=command_id)


def delete(target: int | str, ledger: str = "default", command_id: str | None = None) -> Request:
    """A command that deletes an execution."""
    return Request(ledger, target, Delete(), command_id=command_id)
