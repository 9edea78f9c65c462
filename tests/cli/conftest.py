"""The command line, run as a process, and a look into the ledger that it wrote."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import select

from execution_ledger.api.cli import run
from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository, Settings
from execution_ledger.infrastructure.tables import execution_events
from execution_ledger.projections import LedgerQueries, RecordedEvent
from support import Database, forked
from support.http_service import running
from support.json_answers import check_answer, command_of

T = TypeVar("T")


@dataclass
class Cli:
    """`execution-ledger` on one database, in one folder."""

    url: str
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EXECUTION_LEDGER_")}
        for name in ("FORCE_COLOR", "COLUMNS", "LINES"):
            kept.pop(name, None)
        own = {"EXECUTION_LEDGER_DATABASE_URL": self.url, "EXECUTION_LEDGER_ACTOR": "ada", "TZ": "Asia/Kathmandu"}
        return kept | own | self.env | more

    def run(self, *arguments: str, input: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        return forked.run(arguments, self.folder, self.environment(**env), input=input, timeout=60)

    def shell(self, script: str) -> subprocess.CompletedProcess[bytes]:
        """A line of shell, in the same circumstances."""
        return subprocess.run(
            ["/bin/sh", "-c", script],
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            timeout=60,
            start_new_session=True,
        )

    def call(self, *arguments: str) -> tuple[int, str, str]:
        """The same within this process, which takes a tenth of the time: exit status, output and errors."""
        out, err = io.StringIO(), io.StringIO()
        before = os.environ.copy()
        try:
            os.environ.clear()
            os.environ.update(self.environment())
            time.tzset()
            with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
                status = run(arguments)
        finally:
            os.environ.clear()
            os.environ.update(before)
            time.tzset()
        return status, out.getvalue(), err.getvalue()

    def text(self, *arguments: str, status: int = 0) -> str:
        """The output of a command that is expected to end with `status`; the errors, if that is not 0."""
        ended, out, err = self.call(*arguments)
        assert ended == status, err
        assert (err if status == 0 else out) == ""
        return out if status == 0 else err

    def json(self, *arguments: str) -> Any:
        """The same as a program gets it, from a process; as the schema says."""
        ran = self.run(*arguments, "--json")
        assert (ran.returncode, ran.stderr) == (0, b"")
        answer = json.loads(ran.stdout)
        check_answer(command_of(arguments), answer)
        return answer

    def start(self, *arguments: str, **streams: Any) -> forked.Process:
        return forked.start(arguments, self.folder, self.environment(), **streams)

    def leave(self, *arguments: str) -> tuple[int, bytes]:
        """Read the beginning of the output and go away: the exit status, and what was on the error stream."""
        process = self.start(*arguments)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        status = process.wait(30)
        with process.stderr:
            return status, process.stderr.read()

    def terminal(
        self, *arguments: str, columns: int = 80, react: Callable[[bytes, int], None] | None = None
    ) -> tuple[int, str]:
        """Run at a terminal of so many columns: the exit status, and all that was on it.

        `react` is told of the output so far and of the terminal's descriptor, whenever there is more.
        """
        terminal, theirs = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        environment = self.environment(TERM="xterm-256color")
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        process = forked.start(arguments, self.folder, environment, **streams, terminal=True)
        os.close(theirs)
        seen = b""
        while data := read_terminal(terminal):
            seen += data
            if react is not None:
                react(seen, terminal)
        os.close(terminal)
        return process.wait(60), seen.decode().replace("\r\n", "\n")

    def ask(self, question: Callable[[LedgerQueries, ExecutionRepository], Awaitable[T]]) -> T:
        """Ask the ledger directly."""
        from execution_ledger.api.runtime import open_ledger

        async def ask() -> T:
            settings = Settings(database_url=self.url)
            async with open_ledger(settings, create=False) as ledger, ledger.sessions() as session:
                return await question(LedgerQueries(session), ExecutionRepository(session))

        return asyncio.run(ask())

    def executions(self) -> list[ExecutionHistory]:
        """All of them, the oldest first."""
        return self.ask(lambda _, executions: executions.get_all())

    def only(self) -> ExecutionHistory:
        [execution] = self.executions()
        return execution

    def events(self, job_id: str | None = None) -> list[RecordedEvent]:
        """All events, or those of one execution, in order."""
        return self.ask(lambda queries, _: queries.events(10_000, newest_first=False, job_id=job_id))

    def leaves(self) -> list[bytes]:
        """The leaf hashes of all events, in order."""
        statement = select(execution_events.c.leaf_hash).order_by(execution_events.c.position)

        async def ask(queries: LedgerQueries, _: ExecutionRepository) -> list[bytes]:
            return list((await queries.session.execute(statement)).scalars())

        return self.ask(ask)

    def output(self, source: str, job_id: str | None = None) -> str:
        """What the ledger kept of a stream."""
        notes = [event.data or {} for event in self.events(job_id) if event.name == "noted"]
        return "".join(note["text"] for note in notes if note.get("source") == source)


def read_terminal(terminal: int) -> bytes:
    """What there is on it; nothing at its end."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux tells the end so
        return b""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """On a SQLite file that does not exist yet."""
    return Cli(f"sqlite:///{tmp_path}/ledger.db", tmp_path)


@pytest.fixture
def cli_on_both(database: Database, tmp_path: Path) -> Cli:
    """On a database of either kind, its schema applied."""
    return Cli(database.url, tmp_path)


@pytest.fixture
def cli_anywhere(via: str, cli_on_both: Cli) -> Iterator[Cli]:
    """On a database of either kind, or on a service over it."""
    if via == "database":
        yield cli_on_both
        return
    # It reaps nothing by itself, so that a test knows who did.
    with running(Settings(database_url=cli_on_both.url, actor=None, reap_interval=86_400)) as address:
        cli_on_both.env["EXECUTION_LEDGER_URL"] = address
        yield cli_on_both


@pytest.fixture
def cli_on_postgres(postgres_server: Any, postgres_template: str, tmp_path: Path) -> Iterator[Cli]:
    url = postgres_server.create_database(postgres_template)
    yield Cli(url, tmp_path)
    postgres_server.drop_database(url)
