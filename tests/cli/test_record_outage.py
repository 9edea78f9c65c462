"""A ledger that goes away while a command runs: the command goes on, and nothing is silently lost."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from subprocess import PIPE

from .conftest import Cli

# Shuts the database for everybody, as the command that is being recorded; `{}` goes on while it is shut.
_SHUT = """
import os, psycopg, sys
from sqlalchemy import make_url
url = make_url(os.environ["EXECUTION_LEDGER_DATABASE_URL"]).set(drivername="postgresql")
name = url.database
with psycopg.connect(url.set(database="postgres").render_as_string(hide_password=False), autocommit=True) as server:
    def allow(yes):
        server.execute(f"ALTER DATABASE {{name}} ALLOW_CONNECTIONS {{yes}}")
    print("before", flush=True)
    allow("false")
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    {}
print("after", flush=True)
"""
_WORK = "[print('work', n, flush=True) for n in range(1000)]"


def test_what_happened_meanwhile_is_written_when_the_ledger_is_back(cli_on_postgres: Cli) -> None:
    cli = cli_on_postgres
    code = _SHUT.format(f"{_WORK}; import time; time.sleep(0.7); allow('true')")  # past the interval of a note
    ran = cli.run("record", "--", sys.executable, "-c", code)
    assert ran.returncode == 0, ran.stderr.decode()
    assert "warning" not in ran.stderr.decode()
    assert cli.output("stdout") == ran.stdout.decode()
    assert cli.only().status == "completed"
    events = cli.events()
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    command_ids = [event.command_id for event in events if event.command_id]
    assert len(command_ids) == len(set(command_ids))  # nothing twice


def test_a_command_ends_well_without_its_ledger_and_says_so(cli_on_postgres: Cli) -> None:
    cli = cli_on_postgres
    ran = cli.run("record", "--job-id", "j", "--ledger-wait", "0.5", "--", sys.executable, "-c", _SHUT.format(_WORK))
    assert ran.stdout.decode().splitlines() == ["before", *(f"work {n}" for n in range(1000)), "after"]
    warnings = [line for line in ran.stderr.decode().splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "the ledger could not be reached" in warnings[0]
    assert "of j, its outcome among them, are not recorded" in warnings[0]
    assert ran.returncode == 125


def test_a_command_that_fails_without_its_ledger_keeps_its_exit_status(cli_on_postgres: Cli) -> None:
    code = _SHUT.format("sys.exit(9)")
    ran = cli_on_postgres.run("record", "--ledger-wait", "0.5", "--", sys.executable, "-c", code)
    assert ran.returncode == 9
    assert "the ledger could not be reached" in ran.stderr.decode()


def test_a_sqlite_file_that_another_process_keeps_locked(cli: Cli) -> None:
    process = cli.start("record", "--ledger-wait", "1.5", "--", "sh", "-c", "echo ready; read line", stdin=PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with closing(sqlite3.connect(cli.folder / "ledger.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        _, err = process.communicate(b"go on\n", timeout=20)  # less than SQLite would wait
        database.execute("ROLLBACK")
    assert process.returncode == 125
    assert b"the ledger could not be reached" in err
    assert b"another connection writes to the database" in err
    assert cli.only().status == "running"


def test_a_sqlite_file_that_is_locked_for_a_while(cli: Cli) -> None:
    process = cli.start("record", "--", "sh", "-c", "echo ready; read line; echo done", stdin=PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    with closing(sqlite3.connect(cli.folder / "ledger.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        process.stdin.write(b"go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"done\n"
        database.execute("ROLLBACK")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert cli.only().status == "completed"
