"""A disk without room: what does not fit is refused clearly and leaves nothing, all else is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.domain import Create, LedgerError, Note, StoreFull
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_sync_engine
from support import Database
from support.audit import audit

BIG = "x" * 400_000

# What PostgreSQL raises where a file cannot grow, and for the same reason: the row is big.
_FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF length(NEW.data) > 100000 THEN
        RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER no_room BEFORE INSERT ON execution_events FOR EACH ROW EXECUTE FUNCTION no_room();
"""


class Disk:
    """A database whose disk has little room left, until it has."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.pages = 0

    def watch(self, engine: Engine) -> None:
        """Let this engine feel it."""
        if self.database.kind == "sqlite":
            event.listen(engine, "checkout", lambda connection, *_: self._limit(connection))

    def _limit(self, connection: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {self.pages or 2**30}")
        cursor.close()

    def fill(self, admin: Engine) -> None:
        """Leave room for little."""
        with admin.begin() as connection:
            if self.database.kind == "sqlite":
                self.pages = connection.execute(text("PRAGMA page_count")).scalar_one() + 40
            else:
                connection.exec_driver_sql(_FULL)

    def make_room(self, admin: Engine) -> None:
        """Buy a larger one."""
        self.pages = 0
        if self.database.kind == "postgresql":
            with admin.begin() as connection:
                connection.exec_driver_sql("DROP TRIGGER no_room ON execution_events")


@pytest.fixture
def admin(database: Database) -> Iterator[Engine]:
    engine = create_sync_engine(database.url)
    yield engine
    engine.dispose()


@pytest.fixture
def disk(database: Database, admin: Engine) -> Disk:
    return Disk(database)


async def test_a_repository_tells_what_to_do_and_goes_on_when_there_is_room(
    database: Database, engine: AsyncEngine, disk: Disk, admin: Engine
) -> None:
    disk.watch(engine.sync_engine)
    async with AsyncSession(engine) as session:
        repository = ExecutionRepository(session)
        await repository.create({"job_id": "job"})
        disk.fill(admin)
        with pytest.raises(StoreFull, match="Make room") as told:
            await repository.update("job", {"result": BIG}, command_id="c")
        assert told.value.__cause__ is not None
        assert audit(database.url)["default"].head["size"] == 1
        await repository.update("job", {"message": "small"})
        disk.make_room(admin)
        await repository.update("job", {"result": BIG}, command_id="c")
    assert audit(database.url)["default"].head["size"] == 3


async def test_a_unit_of_work_that_does_not_fit_leaves_nothing(
    database: Database, engine: AsyncEngine, disk: Disk, admin: Engine
) -> None:
    disk.watch(engine.sync_engine)
    disk.fill(admin)
    async with AsyncSession(engine) as session:
        repository = ExecutionRepository(session, commit=False)
        for data in ({"job_id": "small"}, {"job_id": "big", "result": BIG}):
            await repository.create(data)
        with pytest.raises(StoreFull):
            await session.commit()
        await session.rollback()
        assert audit(database.url) == {}
        disk.make_room(admin)
        for data in ({"job_id": "small"}, {"job_id": "big", "result": BIG}):
            await repository.create(data)
        await session.commit()
    assert audit(database.url)["default"].head["size"] == 2


async def test_in_a_group_only_what_does_not_fit_is_refused(database: Database, disk: Disk, admin: Engine) -> None:
    engine = create_sync_engine(database.url, **_autocommit(database))
    disk.watch(engine)
    requests = [
        Request("default", f"job-{at}", Create.of({"job_id": f"job-{at}", "result": BIG if at == 3 else at}))
        for at in range(8)
    ]
    async with GroupWriter(engine) as writer:
        await writer.execute(Request("default", "job", Create.of({"job_id": "job"})))
        disk.fill(admin)
        answers = await writer.execute_together(requests)
        assert [type(answer) for answer in answers if isinstance(answer, LedgerError)] == [StoreFull]
        refused = answers[3]
        assert isinstance(refused, StoreFull)
        assert refused.__cause__ is not None
        with pytest.raises(StoreFull):
            await writer.execute(Request("default", "job", Note.of("n", data=BIG)))
        with pytest.raises(StoreFull):
            await writer.create_many({"result": BIG} for _ in range(3))
        assert audit(database.url)["default"].head["size"] == 8
        disk.make_room(admin)
        assert (await writer.execute(requests[3])) is not None
        await writer.execute(Request("default", "job", Note.of("n", data=BIG)))
    engine.dispose()
    assert audit(database.url)["default"].head["size"] == 10


def _autocommit(database: Database) -> dict[str, Any]:
    return {} if database.kind == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
