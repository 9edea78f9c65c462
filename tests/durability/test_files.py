"""A SQLite file that cannot be written, or not any further: it is told clearly, and nothing is half written."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.domain import Create, LedgerError, OutcomeUnknown, StoreFull, StoreUnavailable
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_engine, create_sync_engine
from support import Database
from support.audit import audit

pytestmark = pytest.mark.store("sqlite")

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
        assert "Let this user write to the file and to its folder" in line
    assert audit(f"sqlite:///{path}") == {}
