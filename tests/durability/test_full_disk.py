"""A disk without room: what does not fit is refused clearly and leaves nothing, all else is recorded."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.domain import Create, LedgerError, Note, OutcomeUnknown, StoreFull, StoreUnavailable
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_engine, create_sync_engine
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


# As a quota does: no file may grow beyond some size.
_QUOTA = """
import asyncio, resource, signal, sys
from sqlalchemy.ext.asyncio import AsyncSession
from execution_ledger.domain import Create, LedgerError
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_engine

async def main(url, bytes):
    engine = create_engine(url)
    async with GroupWriter(url, patience=1) as writer, AsyncSession(engine) as session:
        repository = ExecutionRepository(session)
        await repository.create({"job_id": "before"})
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, old[1]))
        for call in (
            lambda: repository.update("before", {"result": "x" * bytes}),
            lambda: writer.execute(Request("default", "big", Create.of({"job_id": "big", "result": "x" * bytes}))),
        ):
            try:
                await call()
            except LedgerError as error:
                print(type(error).__name__, error, type(error.__cause__).__name__, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        await repository.update("before", {"result": "x" * bytes})
        await writer.execute(Request("default", "after", Create.of({"job_id": "after"})))
    await engine.dispose()

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.store("sqlite")
async def test_a_quota_that_is_used_up_is_told_and_nothing_is_half_written(database: Database) -> None:
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _QUOTA, database.url, "1000000"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    told = ran.stdout.splitlines()
    assert len(told) == 2
    for line in told:
        assert line.startswith("StoreUnavailable The database did not answer: disk I/O error"), line
        assert "quota" in line
    assert [event["type"] for event in audit(database.url)["default"].events] == [
        "execution.created",
        "execution.details_changed",
        "execution.created",
    ]


class Failing(sqlite3.Connection):
    """Its commits fail in some way."""

    how = ""

    def commit(self) -> None:
        if self.how:
            self.rollback()
            error = sqlite3.OperationalError("it failed")
            error.sqlite_errorname = self.how
            raise error
        super().commit()


@pytest.mark.store("sqlite")
@pytest.mark.parametrize(
    ("how", "told"),
    [("SQLITE_FULL", StoreFull), ("SQLITE_IOERR_WRITE", StoreUnavailable), ("SQLITE_IOERR_FSYNC", OutcomeUnknown)],
)
async def test_a_commit_that_fails_is_told_for_what_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch, how: str, told: type[LedgerError]
) -> None:
    engine = create_engine(database.url, connect_args={"factory": Failing})
    other = create_sync_engine(database.url, connect_args={"factory": Failing})
    async with AsyncSession(engine) as session, GroupWriter(other) as writer:
        await ExecutionRepository(session).create({"job_id": "job"})
        requests = [Request("default", None, Create.of({}), command_id=name) for name in ("c1", "c2", "c3")]
        monkeypatch.setattr(Failing, "how", how)
        for call in (
            lambda: ExecutionRepository(session).update("job", {"message": "m"}, command_id="c"),
            lambda: writer.execute(requests[0]),
        ):
            with pytest.raises(LedgerError) as caught:
                await call()
            assert type(caught.value) is told
        try:
            answers = await writer.execute_together(requests[1:])
        except LedgerError as error:
            answers = [error]
        assert {type(answer) for answer in answers} == {told}
        monkeypatch.setattr(Failing, "how", "")
        await ExecutionRepository(session).update("job", {"message": "m"}, command_id="c")
        await writer.execute(requests[0])
        await writer.execute_together(requests[1:])
    await engine.dispose()
    other.dispose()
    assert audit(database.url)["default"].head["size"] == 5


# As an ordinary user, since root may write anything; after a first round elsewhere that has imported all there is.
_UNPRIVILEGED = """
import asyncio, os, sys
from sqlalchemy.ext.asyncio import AsyncSession
from execution_ledger.domain import Create, LedgerError
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_engine

async def write(url):
    engine = create_engine(url)
    async with GroupWriter(url, patience=0) as writer, AsyncSession(engine) as session:
        for call in (
            lambda: ExecutionRepository(session).create({}),
            lambda: writer.execute(Request("default", None, Create.of({}))),
        ):
            try:
                await call()
            except LedgerError as error:
                print(type(error).__name__, error, flush=True)
    await engine.dispose()

async def main(first, second):
    await write(first)
    if os.geteuid() == 0:
        os.seteuid(65534)
    await write(second)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.store("sqlite")
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o444, 0o777), (0o666, 0o555)], ids=["file", "folder"])
async def test_a_file_or_folder_that_cannot_be_written_is_told_with_the_remedy(
    database: Database, folder: Path, file_mode: int, folder_mode: int
) -> None:
    path = Path(shutil.copy(str(make_url(database.url).database), folder / "ledger.db"))
    path.chmod(file_mode)
    folder.chmod(folder_mode)
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _UNPRIVILEGED, database.url, f"sqlite:///{path}"],
        capture_output=True,
        text=True,
    )
    folder.chmod(0o755)
    assert ran.returncode == 0, ran.stderr
    told = ran.stdout.splitlines()
    assert len(told) == 2
    for line in told:
        assert "let this user write to the file and to its folder" in line
    assert audit(f"sqlite:///{path}") == {}
