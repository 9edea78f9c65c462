"""`import crud`, as a process."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import insert, select

from execution_ledger.infrastructure import create_sync_engine, migrate
from execution_ledger.infrastructure.tables import crud_imports, ledgers

from .conftest import Cli
from .test_backups import root


def make_table(cli: Cli, number: int = 3) -> str:
    with sqlite3.connect(cli.folder / "crud.db") as connection:
        connection.execute(
            "CREATE TABLE executionhistory "
            "(id INTEGER PRIMARY KEY, job_id TEXT, status TEXT, created_at TEXT, cost REAL)"
        )
        rows = [(n, f"job-{n}", "COMPLETED", f"2026-01-0{n} 08:00:00", 0.5 * n) for n in range(1, number + 1)]
        connection.executemany("INSERT INTO executionhistory VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("INSERT INTO executionhistory VALUES (9, 'odd', 'exploded', '2026-01-09', NULL)")
    connection.close()
    return f"sqlite:///{cli.folder}/crud.db"


def test_a_table_is_imported_with_a_line_for_each_row_to_look_at(cli_on_both: Cli) -> None:
    cli = cli_on_both
    url = make_table(cli)
    ran = cli.run("import", "crud", url)
    assert ran.returncode == 1
    assert ran.stdout.decode().splitlines() == [
        "executionhistory 9: refused: status: 'exploded' is not a status. Use one of: pending, preparing, running, "
        "waiting_for_approval, stopping, stopped, completed, failed, rejected, cancelled.",
        *(f"executionhistory {n}: assumed: completed_at was not set, so created_at stands for it" for n in (1, 2, 3)),
    ]
    assert ran.stderr.decode() == (
        "3 rows of 4 imported; 3 with a time that was assumed; 1 refused; kept as attributes: cost\n"
    )
    assert [(each.id, each.job_id) for each in cli.executions()] == [(1, "job-1"), (2, "job-2"), (3, "job-3")]
    assert cli.events("job-1")[0].actor == "ada"
    again = cli.run("import", "crud", url, "--status", "exploded=failed", "--json")
    assert again.returncode == 0
    assert [json.loads(line) for line in again.stdout.splitlines()] == [
        {"kind": "assumed", "id": 9, "problem": "completed_at was not set, so created_at stands for it"},
        {
            "kind": "summary", "dry_run": False, "rows": 4, "imported": 1, "corrected": 0, "unchanged": 3, "went_on": 0,
            "refused": 0, "assumed": 1,
        },
    ]  # fmt: skip
    assert cli.run("verify").returncode == 0


def test_a_dry_run_writes_nothing_at_all(cli: Cli) -> None:
    url = make_table(cli)
    ran = cli.run("import", "crud", url, "--dry-run", "--ignore", "cost")
    assert ran.returncode == 1
    assert ran.stderr.decode() == "3 rows of 4 would be imported; 3 with a time that was assumed; 1 refused\n"
    assert not (cli.folder / "ledger.db").exists()


def test_what_is_wrong_is_told_in_a_line(cli: Cli) -> None:
    url = make_table(cli)
    for arguments, status, beginning in [
        ([url, "--table", "runs"], 2, "--table: there is no 'runs'. There are: executionhistory."),
        ([url, "--map", "job_id"], 2, "--map: 'job_id' is no NAME=NAME."),
        ([url, "--map", "job_id=uuid"], 2, "--map: there is no column 'uuid'."),
        ([url, "--time-zone", "Mars"], 2, "--time-zone: 'Mars' is no zone."),
        (["nowhere"], 2, "URL: is not a database URL."),
        ([f"sqlite:///{cli.folder}/nowhere.db"], 3, "The database did not answer: the source says: "),
        (["postgresql://127.0.0.1:1/x"], 3, "The database did not answer: the source says: connection"),
        (["postgresql+asyncpg://127.0.0.1:1/x"], 3, "The database did not answer: the source says: connection"),
    ]:
        told = cli.text("import", "crud", *arguments, status=status)
        assert told.startswith(f"error: {beginning}"), told
        assert told.count("\n") == 1


def test_a_reader_of_its_lines_that_goes_away_is_no_fault_of_the_database(cli: Cli) -> None:
    read, write = os.pipe()
    os.close(read)
    process = cli.start("import", "crud", make_table(cli), "--json", stdout=write)
    os.close(write)
    assert (process.wait(60), process.communicate()[1]) == (141, b"")


SIZE = 4_000


def make_large_table(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "large.db")) as connection, connection:
        connection.execute(
            "CREATE TABLE executionhistory "
            "(id INTEGER PRIMARY KEY, job_id TEXT, status TEXT, created_at TEXT, started_at TEXT, completed_at TEXT)"
        )
        times = ("2026-01-01 08:00:00", "2026-01-01 08:00:01", "2026-01-01 08:00:02")
        rows = ((n, f"job-{n}", "COMPLETED", *times) for n in range(1, SIZE + 1))
        connection.executemany("INSERT INTO executionhistory VALUES (?, ?, ?, ?, ?, ?)", rows)
    return f"sqlite:///{folder}/large.db"


def test_an_import_that_is_killed_gives_the_same_root_when_it_is_run_again(cli_on_both: Cli, tmp_path: Path) -> None:
    url = make_large_table(tmp_path)
    engine = create_sync_engine(cli_on_both.url)

    def imported() -> int:
        with engine.connect() as connection:
            return connection.execute(select(ledgers.c.executions)).scalar() or 0

    process = cli_on_both.start("import", "crud", url)
    deadline = time.monotonic() + 60
    while imported() == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    begun = imported()
    assert 0 < begun < SIZE
    # The same import elsewhere, never killed: it has the same beginning and the same key of salts.
    whole = Cli(f"sqlite:///{tmp_path}/whole.db", tmp_path)
    migrate(whole.url)
    other = create_sync_engine(whole.url)
    with engine.connect() as connection, other.begin() as elsewhere:
        plan = connection.execute(select(crud_imports)).mappings().one()
        elsewhere.execute(insert(crud_imports), dict(plan) | {"done_id": None})
    for cli, number in ((cli_on_both, SIZE - begun), (whole, SIZE)):
        ended, _, told = cli.call("import", "crud", url)
        assert (ended, told.partition(";")[0].strip()) == (0, f"{number:,} rows of {SIZE:,} imported")
        assert cli.call("verify")[0] == 0
    assert cli_on_both.ask(root) == whole.ask(root)
    engine.dispose()
    other.dispose()
