"""What a process remembers of entities is what was committed, never what was rolled back or lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from execution_ledger.domain import Create, IllegalTransition, OutcomeUnknown, Update
from execution_ledger.infrastructure import EventStore, GroupWriter, Request, create_sync_engine
from support import Database
from support.audit import audit
from support.wire import Link, tapped

# Where one writer's clock is ahead, what others record in the meantime has the same time: times tell nothing apart.
STORE = EventStore(clock=lambda: datetime(2030, 1, 1, tzinfo=UTC))
CREATE, RUN = Create.of({"job_id": "job"}), Update.of({"status": "running"})
CANCEL, COMPLETE = Update.by("cancelled"), Update.of({"status": "completed"})


@pytest.fixture
def others(database: Database) -> Iterator[Engine]:
    """Another process, as far as memory goes."""
    engine = create_sync_engine(database.url)
    with engine.begin() as connection:
        STORE.execute(connection, Request("default", "job", CREATE))
    yield engine
    engine.dispose()


def cancel(others: Engine) -> None:
    with others.begin() as connection:
        STORE.execute(connection, Request("default", "job", CANCEL))


def check(database: Database) -> None:
    types = [event["type"] for event in audit(database.url)["default"].events]
    assert types == ["execution.created", "execution.cancelled"]


async def test_what_was_rolled_back_is_not_remembered(database: Database, others: Engine) -> None:
    engine = create_sync_engine(database.url)
    with engine.connect() as connection, connection.begin() as transaction:
        STORE.execute(connection, Request("default", "job", RUN))
        transaction.rollback()
    cancel(others)
    if database.kind == "postgresql":
        alone = engine.execution_options(isolation_level="AUTOCOMMIT")
        with alone.connect() as connection, pytest.raises(IllegalTransition):
            STORE.execute(connection, Request("default", "job", COMPLETE), autocommit=True)
    async with GroupWriter(engine, store=STORE) as writer:
        refused, _ = await writer.execute_together([Request("default", "job", COMPLETE)] * 2)
        assert isinstance(refused, IllegalTransition)
    engine.dispose()
    check(database)


@pytest.mark.store("postgresql")
async def test_what_a_lost_commit_left_undone_is_not_remembered(database: Database, others: Engine) -> None:
    async with tapped(database.url) as wire, GroupWriter(wire.url, store=STORE, workers=1, patience=0) as writer:

        async def lose_all(link: Link, messages: bytes) -> None:
            wire.down = True
            await link.lose(messages)

        assert await writer.execute(Request("default", "nobody", RUN)) is None  # the connection is made
        wire.once("COMMIT", lose_all)
        with pytest.raises(OutcomeUnknown):
            await writer.execute_together([Request("default", "job", RUN), Request("default", "nobody", RUN)])
        wire.down = False
        cancel(others)
        refused, _ = await writer.execute_together([Request("default", "job", COMPLETE)] * 2)
        assert isinstance(refused, IllegalTransition)
        with pytest.raises(IllegalTransition):
            await writer.execute(Request("default", "job", COMPLETE))
    check(database)
