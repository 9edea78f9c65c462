"""Bars at a terminal: what a command prints meanwhile stands whole above them, or goes where the output goes."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, text, update

from execution_ledger.infrastructure import ExecutionRepository, create_sync_engine, migrate
from execution_ledger.infrastructure.tables import execution_leases, webhook_dead_letters
from support import forked
from support.receiver import LOOPBACK
from support.screen import screen

from .conftest import Cli, read_terminal
from .test_import import events
from .test_read_commands import write

RUNS = 30


def with_output_elsewhere(cli: Cli, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and what was at the terminal, where the output alone is a pipe."""
    (output, writes), (terminal, theirs) = os.pipe(), pty.openpty()
    environment = cli.environment(TERM="xterm-256color")
    streams = {"stdin": theirs, "stdout": writes, "stderr": theirs}
    process = forked.start(arguments, cli.folder, environment, **streams, terminal=True)
    os.close(writes)
    os.close(theirs)
    seen = b""

    def read() -> None:
        nonlocal seen
        while data := read_terminal(terminal):
            seen += data

    thread = threading.Thread(target=read)
    thread.start()
    with open(output, "rb") as lines:
        told = lines.read()
    status = process.wait(60)
    thread.join()
    os.close(terminal)
    return status, told.decode(), seen.decode()


@pytest.fixture
def late(cli_on_both: Cli) -> Cli:
    """A ledger with runs whose workers are gone."""
    cli = cli_on_both

    async def story(runs: ExecutionRepository) -> None:
        for number in range(RUNS):
            await runs.create_execution({"job_id": f"job-{number:02}", "status": "running"})
            await runs.take_lease(f"job-{number:02}", holder="somebody " * 12, ttl=60)

    write(cli, story)
    engine = create_sync_engine(cli.url)
    with engine.begin() as connection:
        connection.execute(update(execution_leases).values(expires_at=datetime.now(UTC) - timedelta(hours=1)))
    engine.dispose()
    return cli


def test_reaping_shows_a_bar_and_each_run_above_it(late: Cli) -> None:
    ended, seen = late.terminal("reap", columns=60)
    assert ended == 0
    assert re.search(rf"leases .*\b\d+/{RUNS}\b", re.sub("\x1b[^m]*m", "", seen))
    shown = "".join(screen(seen))  # of lines that were as long as the terminal
    assert [f"failed job-{number:02} " in shown for number in range(RUNS)] == [True] * RUNS
    assert "leases" not in shown, "it is gone at the end"
    assert late.terminal("reap")[1].endswith("No run's lease has expired.\n")


def test_reaping_as_json_goes_where_the_output_goes(late: Cli) -> None:
    ended, out, seen = with_output_elsewhere(late, "reap", "--json")
    assert ended == 0
    assert {json.loads(line)["job_id"] for line in out.splitlines()} == {f"job-{number:02}" for number in range(RUNS)}
    assert "job-" not in seen


@pytest.fixture
def files(cli: Cli) -> Cli:
    """Files to bring in, of which all that could be told is wrong; and a history that differs from its events."""
    (cli.folder / "events.ndjson").write_text("{\n" * RUNS)
    with closing(sqlite3.connect(cli.folder / "old.db")) as old, old:
        old.execute("CREATE TABLE executionhistory (id INTEGER PRIMARY KEY, job_id TEXT, status TEXT, created_at TEXT)")
        rows = [(number, f"job-{number:02}", "exploded", "2026-01-09") for number in range(1, RUNS)]
        old.executemany("INSERT INTO executionhistory VALUES (?, ?, ?, ?)", rows)
    migrate(cli.url)

    async def story(runs: ExecutionRepository) -> None:
        for number in range(RUNS):
            await runs.create_execution({"job_id": f"job-{number:02}"})

    write(cli, story)
    cli.env["EXECUTION_LEDGER_WEBHOOK_ALLOW"] = f'["{LOOPBACK}"]'
    hook = json.loads(cli.text("webhooks", "add", "http://127.0.0.1:9/", "--json"))["webhook"]["endpoint_id"]
    cli.env["HOOK"] = hook
    engine = create_sync_engine(cli.url)
    letter = {"ledger_id": "default", "endpoint_id": hook, "tries": 2, "failed_at": datetime.now(UTC), "error": "500"}
    with engine.begin() as connection:
        connection.execute(text("UPDATE execution_history SET run_name = 'other'"))
        connection.execute(
            insert(webhook_dead_letters), [letter | {"position": number} for number in range(1, RUNS + 1)]
        )
    engine.dispose()
    return cli


PRINTS = {
    "import openlineage events.ndjson": r"events\.ndjson:\d+: it is not JSON: Input data was truncated",
    "import openlineage events.ndjson --json": r'\{"kind":"refused","where":"events\.ndjson:\d+","problem":".*"\}',
    "import crud sqlite:///old.db": r"executionhistory \d+: refused: .*",
    "import crud sqlite:///old.db --json": r'\{"kind":"refused","id":\d+,"problem":".*"\}',
    "verify": r"default: execution_history id=\d+: run_name is 'other', should be .*",
    "webhooks replay {hook} --all": r"Event \d+.*",
}
"""Command → what each line is that it prints while a bar is shown."""


@pytest.mark.parametrize("command", PRINTS)
def test_lines_that_come_meanwhile_stand_above_the_bar_or_where_the_output_goes(files: Cli, command: str) -> None:
    words, line = command.format(hook=files.env["HOOK"]).split(), re.compile(PRINTS[command])
    _, out, seen = with_output_elsewhere(files, *words)
    told = [each for each in out.splitlines() if line.fullmatch(each)]
    assert len(told) >= RUNS - 1
    assert not [each for each in screen(seen) if line.fullmatch(each)], "not at the terminal"
    assert "\u2501" in seen, "a bar was shown"

    _, seen = files.terminal(*words, columns=300)
    shown = [each for each in screen(seen) if line.fullmatch(each)]
    assert len(shown) == len(told)
    assert not [each for each in screen(seen) if "\u2501" in each], "nothing of a bar is left"


@contextmanager
def locked(cli: Cli) -> Iterator[Callable[[], None]]:
    """Another process writes, until it is told to end."""
    with closing(sqlite3.connect(cli.folder / "ledger.db", isolation_level=None, check_same_thread=False)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield lambda: database.execute("ROLLBACK") and None


WRITES = {
    "record -- echo done": "wait for another process that writes to ledger.db",
    "keys create ci --scope read": "keys",
    "reap": "leases",
    "import openlineage events.ndjson": "events.ndjson",
    "import crud sqlite:///old.db": "rows",
}
"""Command → what a bar tells while the database is locked."""


@pytest.mark.parametrize("command", WRITES)
def test_a_command_that_waits_for_a_lock_says_so_after_a_second(files: Cli, command: str) -> None:
    (files.folder / "events.ndjson").write_text(events(1)[0])
    with locked(files) as unlock:
        began, told = time.monotonic(), 0.0

        def react(seen: bytes, _: int) -> None:
            nonlocal told
            plain = re.sub("\x1b[^A-Za-z]*[A-Za-z]", "", seen.decode(errors="replace"))
            if not told and WRITES[command] in plain and "\u2501" in plain:
                told = time.monotonic() - began
                unlock()

        ended, seen = files.terminal(*command.split(), react=react)
    assert ended in (0, 1), seen
    assert 0 < told < 10
    assert not [each for each in screen(seen) if "\u2501" in each], "nothing of a bar is left"


@pytest.mark.parametrize("command", ["record -- touch made", "reap", "import openlineage events.ndjson"])
def test_ctrl_c_ends_what_waits_for_a_lock(files: Cli, command: str) -> None:
    (files.folder / "events.ndjson").write_text(events(1)[0])

    async def lease(runs: ExecutionRepository) -> None:
        await runs.take_lease("job-00", holder="w", ttl=0.1)

    write(files, lease)
    time.sleep(0.2)
    size, pressed = len(files.events()), False
    with locked(files) as unlock:

        def react(seen: bytes, terminal: int) -> None:
            nonlocal pressed
            if not pressed and "\u2501".encode() in seen:
                pressed = True
                threading.Timer(0.5, lambda: os.write(terminal, b"\x03")).start()

        began = time.monotonic()
        ended, seen = files.terminal(*command.split(), react=react)
        took = time.monotonic() - began
        unlock()
    assert ended == 130, seen
    assert took < 10, "long before SQLite would have given up"
    assert "Traceback" not in seen
    assert (len(files.events()), (files.folder / "made").exists()) == (size, False)
