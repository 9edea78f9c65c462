"""`export ledger` and `import ledger`, as processes."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.command import upgrade
from sqlalchemy import select

from execution_ledger.infrastructure import GroupWriter, create_sync_engine, migrate
from execution_ledger.infrastructure.schema import REVISIONS, _config
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


def test_a_ledger_goes_through_a_pipe(cli_on_both: Cli, tmp_path: Path) -> None:
    write(cli_on_both, three_runs)
    for environment in ({}, {"PYTHONUNBUFFERED": "1"}):
        ran = cli_on_both.run("export", "ledger", "-", **environment)
        told = f"12 events, root {cli_on_both.ask(root)}\n"
        assert (ran.returncode, ran.stderr.decode()) == (0, f"the output holds ledger 'default': {told}")
    for name in ("-", "/dev/stdin"):
        other = Cli(f"sqlite:///{tmp_path}/{len(name)}.db", tmp_path)
        loaded = other.run("import", "ledger", name, "--json", input=ran.stdout)
        assert (loaded.returncode, loaded.stderr) == (0, b"")
        assert other.ask(root) == cli_on_both.ask(root)
        assert json.loads(other.run("import", "ledger", name, "--json", input=ran.stdout).stdout)["loaded"] == 0
        cut = other.run("import", "ledger", name, input=ran.stdout[:-20])
        assert cut.returncode == 1
        known = "standard input" if name == "-" else "stdin"
        assert cut.stderr.decode().startswith(f"error: FILE: {known} is cut off after line ")
    assert cli_on_both.text("export", "ledger", "-", "--json", status=2).startswith("error: --json: the output is ")
    ended, seen = cli_on_both.terminal("export", "ledger", "-")
    assert (ended, seen) == (2, "error: FILE: a backup is no text for a terminal. Name a file, as ledger.jsonl.gz.\n")


def test_a_backup_whose_reader_goes_away_ends_without_a_word(large: Path) -> None:
    cli = Cli(f"sqlite:///{large.parent}/ledger.db", large.parent)
    assert cli.leave("export", "ledger", "-") == (141, b"")


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing in it": (lambda whole: b"", "is no backup of a ledger"),
    "cut in its first line": (lambda whole: whole[:30], "is cut off after line 0"),
    "cut in the middle": (lambda whole: whole[: len(whole) // 2], "is cut off after line "),
    "without its last byte": (lambda whole: whole[:-1], "is cut off after line "),
    "a bit in the middle": (lambda whole: flipped(whole, len(whole) // 2), ""),
    "a bit of its checksum": (lambda whole: flipped(whole, len(whole) - 6), "is damaged after line "),
}


def flipped(whole: bytes, at: int) -> bytes:
    return whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]


def migrate_to(url: str, revision: str) -> None:
    """As an older version did."""
    engine = create_sync_engine(url)
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        upgrade(config, revision)
    engine.dispose()


def contents(cli: Cli) -> list[str]:
    """All that a database on SQLite holds."""
    with closing(sqlite3.connect(cli.folder / "ledger.db")) as database:
        return list(database.iterdump())


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("before", ["no database", "an old one", "an empty one", "a first part", "all of it"])
def test_nothing_becomes_of_a_damaged_backup(cli: Cli, damage: str, before: str) -> None:
    source = cli.folder / "source"
    source.mkdir()
    origin = Cli(f"sqlite:///{source}/ledger.db", source)
    migrate(origin.url)
    write(origin, lambda runs: runs.create_execution({"job_id": "first"}))
    if before in ("a first part", "all of it"):
        if before == "all of it":
            write(origin, three_runs)
        shutil.copy(source / "ledger.db", cli.folder)
    write(origin, lambda runs: runs.create_execution({"job_id": "last"}))
    if before == "an empty one":
        migrate(cli.url)
    elif before == "an old one":
        migrate_to(cli.url, REVISIONS[-2])
    spoil, problem = DAMAGES[damage]
    assert origin.run("export", "ledger", "../all.gz").returncode == 0
    (cli.folder / "spoiled.gz").write_bytes(spoil((cli.folder / "all.gz").read_bytes()))
    there = {path.name for path in cli.folder.iterdir()}
    held = contents(cli) if "ledger.db" in there else None

    ran = cli.run("import", "ledger", "spoiled.gz")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.decode().startswith("error: FILE: spoiled.gz ")
    assert problem in ran.stderr.decode()
    assert {path.name for path in cli.folder.iterdir()} == there
    assert held is None or contents(cli) == held
    assert cli.run("import", "ledger", "all.gz").returncode == 0, "the whole one does"
    assert cli.ask(root) == origin.ask(root)


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
