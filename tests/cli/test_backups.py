"""`export ledger` and `import ledger`, as processes."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from execution_ledger.infrastructure import GroupWriter, create_sync_engine, migrate
from execution_ledger.infrastructure.tables import ledgers
from execution_ledger.projections import LedgerQueries
from support import Database

from .conftest import Cli
from .test_read_commands import three_runs, write


def size(cli: Cli) -> int:
    engine = create_sync_engine(cli.url)
    with engine.connect() as connection:
        found = connection.execute(select(ledgers.c.size)).scalar()
    engine.dispose()
    return found or 0


async def root(queries: LedgerQueries, _: object) -> str:
    return (await queries.root()).root.hex()


def test_a_ledger_moves_from_one_database_to_another(cli_on_both: Cli, tmp_path: Path) -> None:
    write(cli_on_both, three_runs)
    ran = cli_on_both.run("export", "ledger", "all.gz")
    told = f"root {cli_on_both.ask(root)}\n"
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert ran.stderr.decode() == f"all.gz holds ledger 'default': 12 events, {told}"
    other = Cli(f"sqlite:///{tmp_path}/other.db", tmp_path)
    ran = other.run("import", "ledger", "all.gz")
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert ran.stderr.decode() == f"ledger 'default' has 12 events, 12 of them loaded now, {told}"
    assert other.ask(root) == cli_on_both.ask(root)
    for command in (["history", "--status", "failed"], ["timeline", "nightly-1"], ["audit"], ["verify"]):
        assert other.text(*command) == cli_on_both.text(*command)
    assert b"12 events, 0 of them loaded now" in other.run("import", "ledger", "all.gz").stderr


def test_a_file_that_is_there_is_not_replaced_unasked(cli: Cli) -> None:
    write_to_new(cli)
    assert cli.run("export", "ledger", "all.gz").returncode == 0
    before = (cli.folder / "all.gz").read_bytes()
    assert cli.text("export", "ledger", "all.gz", status=1).startswith("error: path: all.gz exists.")
    assert cli.run("export", "ledger", "all.gz", "--overwrite").returncode == 0
    assert (cli.folder / "all.gz").read_bytes() != before  # the time at which it was made
    assert cli.text("export", "ledger", "other.gz", "--ledger", "other", status=1).startswith(
        "error: ledger: there is no"
    )
    assert cli.text("import", "ledger", "nowhere.gz", status=1) == (
        "error: FILE: nowhere.gz cannot be read: No such file or directory. Name a file that is there.\n"
    )
    assert cli.text("import", "ledger", "ledger.db", status=1).startswith("error: FILE: ledger.db is damaged")


def write_to_new(cli: Cli) -> None:
    cli.text("migrate")
    write(cli, three_runs)


SIZE = 20_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that takes a while to load."""
    folder = tmp_path_factory.mktemp("large")
    cli = Cli(f"sqlite:///{folder}/ledger.db", folder)
    migrate(cli.url)

    async def fill() -> None:
        async with GroupWriter(cli.url) as writer:
            await writer.create_many({"job_id": f"job-{n}", "message": "m" * (n % 50)} for n in range(SIZE))

    asyncio.run(fill())
    assert cli.run("export", "ledger", "all.gz").returncode == 0
    return folder / "all.gz"


@pytest.mark.store("postgresql")
def test_an_import_that_is_killed_gives_the_same_root_when_it_is_run_again(
    database: Database, large: Path, tmp_path: Path
) -> None:
    cli = Cli(database.url, tmp_path)
    shutil.copy(large, tmp_path)
    process = cli.start("import", "ledger", "all.gz")
    deadline = time.monotonic() + 60
    while size(cli) == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    begun = size(cli)
    assert 0 < begun < SIZE
    ran = cli.run("import", "ledger", "all.gz")
    assert f", {SIZE - begun:,} of them loaded now, root " in ran.stderr.decode()
    source = Cli(f"sqlite:///{large.parent}/ledger.db", large.parent)
    assert cli.ask(root) == source.ask(root)
    assert cli.run("verify").returncode == 0


def test_no_database_is_made_for_a_file_that_is_not_there(cli: Cli) -> None:
    told = cli.text("import", "ledger", "missing.gz", status=1)
    assert told == "error: FILE: missing.gz cannot be read: No such file or directory. Name a file that is there.\n"
    assert list(cli.folder.iterdir()) == []
