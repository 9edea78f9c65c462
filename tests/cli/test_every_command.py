"""Each command as a process: good input and bad, in a pipe and at a terminal, as text and as JSON.

A new command needs an entry in `COMMANDS`, and examples in `EXAMPLES`; with `--json` a type in `ANSWERS`; without
`--url` a reason in `DATABASE_ONLY`. The tests here say which is missing.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from cli_reference import commands
from execution_ledger.api.cli import command as whole
from execution_ledger.api.terminal.answers import ANSWERS, LINES
from execution_ledger.api.terminal.examples import EXAMPLES
from execution_ledger.api.terminal.places import calls_services, why_database
from execution_ledger.infrastructure import create_sync_engine, migrate
from execution_ledger.infrastructure.tables import execution_leases, webhook_dead_letters
from support import forked
from support.json_answers import check_answer
from support.receiver import LOOPBACK

from .conftest import Cli
from .test_import import events
from .test_read_commands import three_runs, write

ESCAPE = "\x1b"


@dataclass(frozen=True)
class Case:
    """How a command is run. Words like `{key}` stand for what the ledger of these tests has."""

    good: str
    bad: str
    told: str
    """How the error begins that `bad` gives."""
    bad_status: int = 1
    status: int = 0
    """Of what is good: 1 where the command has found something."""
    stop: str | None = None
    """A command without an end is told to end, by Ctrl-C, once this was printed."""
    stopped: int = 130
    colors: bool | None = True
    """Whether it has colors at a terminal; None where its log may have some."""


NOBODY = "JOB: there is no execution 'nobody' in ledger 'default'. See `execution-ledger history`."
NOTHING_HERE = "Nothing is recorded yet: there is no file none.db. Begin with `execution-ledger record -- COMMAND`."
NO_HOOK = "There is no webhook 'nobody' in ledger 'default'."
NO_KEY = "There is no API key 'nobody' in ledger 'default'."
COMMANDS: dict[str, Case] = {
    "audit": Case("--actor ada", "--type exploded", "--type: 'exploded' is ", 2),
    "completion": Case("bash", "csh", "Invalid value for 'SHELL'", bad_status=2, colors=False),
    "diff": Case("nightly-1 1", "nobody 1", NOBODY),
    "doctor": Case("--ledger default", "--url http://127.0.0.1:1 --database sqlite:///x.db", "--url: is given", 2),
    "export events": Case("all.csv", "all", "FILE: 'all' tells no format. End it in one of"),
    "export ledger": Case("all.jsonl.gz", "backup.jsonl.gz", "path: backup.jsonl.gz exists. Name another file"),
    "history": Case("--limit 2", "--status done", "--status: 'done' is not a status. Use one of", 2),
    "import crud": Case(
        "sqlite:///old.db", "sqlite:///none.db", "The database did not answer: the source says: ", 3, status=1
    ),
    "import ledger": Case(
        "backup.jsonl.gz --database sqlite:///copy.db", "events.ndjson", "FILE: events.ndjson is damaged"
    ),
    "import openlineage": Case("events.ndjson", "none.ndjson", "FILE: there is no file none.ndjson.", status=1),
    "keys create": Case("cd --scope read", "cd --scope root", "--scope: 'root' is no scope. Use: read", 2),
    "keys list": Case("", "--ledger {long}", "--ledger: String should have at most 63", 2),
    "keys revoke": Case("{key}", "nobody", NO_KEY),
    "keys rotate": Case("{key}", "nobody", NO_KEY),
    "ledger": Case("", "--database sqlite:///none.db", NOTHING_HERE, 3),
    "migrate": Case("", "--database mysql://x/y", "--database: mysql is not supported", 2, colors=False),
    "projections": Case("", "--retry nothing", "There is no projection 'nothing' here."),
    "reap": Case("", "--database sqlite:///none.db", NOTHING_HERE, 3),
    "rebuild": Case("", "nothing", "There is no projection 'nothing' here."),
    "record": Case("-- true", "-- ", "COMMAND: there is no command. Put it after two dashes: ", 2),
    "replay": Case("nightly-1 --speed 0", "nobody", NOBODY),
    "serve": Case(
        "--port 0", "--host 203.0.113.7 --port 0", "host: ", stop="listens on|address", stopped=0, colors=None
    ),
    "stats": Case(
        "--since 2026-03-01 --until 2026-03-02", "--since yesterday", "--since: 'yesterday' is not a time.", 2
    ),
    "status": Case("nightly-1", "nobody", NOBODY),
    "tail": Case("--after 0", "--type exploded", "--type: ", 2, stop="deleted"),
    "timeline": Case("nightly-1", "nobody", NOBODY),
    "verify": Case(
        "", "--database sqlite:///events.ndjson", "The database refused: the file is no SQLite database. Name", 3
    ),
    "webhooks add": Case("http://127.0.0.1:9/ --type failed", "mailto:ada", "url: begins neither with https:// nor "),
    "webhooks change": Case("{hook} --all-types", "nobody --all-types", NO_HOOK),
    "webhooks dead": Case("{hook}", "nobody", NO_HOOK),
    "webhooks disable": Case("{hook}", "nobody", NO_HOOK),
    "webhooks drop": Case("{hook} 1", "{hook}", "POSITION: name some, or say --all.", 2),
    "webhooks enable": Case("{hook}", "nobody", NO_HOOK),
    "webhooks list": Case("", "--database sqlite:///none.db", NOTHING_HERE, 3),
    "webhooks remove": Case("{hook}", "nobody", NO_HOOK),
    "webhooks replay": Case("{hook} 1", "{hook} 0", "Invalid value for 'POSITION…'", 2, status=1),
    "webhooks rotate": Case("{hook}", "nobody", NO_HOOK),
    "webhooks show": Case("{hook}", "nobody", NO_HOOK),
    "webhooks test": Case("{hook}", "nobody", NO_HOOK, status=1),
}
SHELLS = ("bash", "zsh", "fish")
WITHOUT_JSON = {"completion": "prints a script", "record": "prints what its command prints"}
PATHS = {path: command for path, command in commands() if not hasattr(command, "commands")}
GROUPS = {path: command for path, command in commands() if hasattr(command, "commands")}


@pytest.fixture(scope="module")
def names() -> dict[str, str]:
    """What words like `{key}` stand for."""
    return {}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, names: dict[str, str]) -> Cli:
    """A ledger with three runs, one of which has lost its worker; and files to bring in."""
    folder = tmp_path_factory.mktemp("commands")
    cli = Cli(f"sqlite:///{folder}/ledger.db", folder)
    migrate(cli.url)
    write(cli, three_runs)
    write(cli, lambda runs: runs.take_lease("other", holder="w", ttl=60))
    engine = create_sync_engine(cli.url)
    with engine.begin() as connection:
        connection.execute(update(execution_leases).values(expires_at=datetime.now(UTC) - timedelta(hours=1)))
    cli.env["EXECUTION_LEDGER_WEBHOOK_ALLOW"] = f'["{LOOPBACK}"]'
    # Port 9 takes nothing: what is sent there is refused at once.
    hook = json.loads(cli.text("webhooks", "add", "http://127.0.0.1:9/", "--json"))["webhook"]["endpoint_id"]
    letter = {"ledger_id": "default", "endpoint_id": hook, "position": 1, "tries": 2, "failed_at": datetime.now(UTC)}
    with engine.begin() as connection:
        connection.execute(insert(webhook_dead_letters).values(**letter, error="answered 500"))
    engine.dispose()
    key = json.loads(cli.text("keys", "create", "ci", "--scope", "read", "--json"))["key"]["key_id"]
    names.update(key=key, hook=hook, long="x" * 300)
    assert cli.call("export", "ledger", "backup.jsonl.gz")[0] == 0
    (folder / "events.ndjson").write_text("\n".join([*events(2), "{"]))
    with closing(sqlite3.connect(folder / "old.db")) as old, old:
        old.execute("CREATE TABLE executionhistory (id INTEGER PRIMARY KEY, job_id TEXT, status TEXT, created_at TEXT)")
        rows = [(8, "old-8", "COMPLETED", "2026-01-08"), (9, "old-9", "exploded", "2026-01-09")]
        old.executemany("INSERT INTO executionhistory VALUES (?, ?, ?, ?)", rows)
    return cli


@dataclass
class Desk:
    """One command, and a copy of the ledger for each time that it is run."""

    path: str
    case: Case
    story: Cli
    names: dict[str, str]
    folder: Path

    def words(self, arguments: str) -> list[str]:
        return shlex.split(f"{self.path} {arguments.format(**self.names)}")

    def copy(self, name: str) -> Cli:
        folder = shutil.copytree(self.story.folder, self.folder / name)
        return Cli(f"sqlite:///{folder}/ledger.db", folder, self.story.env)

    def piped(self, name: str, *words: str) -> tuple[int, str, str]:
        """Exit status, output and errors of a process in a pipe."""
        cli = self.copy(name)
        if self.case.stop is None:
            ran = cli.run(*words)
            return ran.returncode, ran.stdout.decode(), ran.stderr.decode()
        process = cli.start(*words)
        assert process.stdout is not None
        seen = b""
        while line := process.stdout.readline():
            seen += line
            if re.search(self.case.stop.encode(), line):
                process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        return process.returncode, seen.decode(), err.decode()

    def terminal(self, name: str, *words: str) -> tuple[int, str]:
        """Exit status of a process at a terminal, and what was on it."""
        pressed = False

        def press(seen: bytes, terminal: int) -> None:
            nonlocal pressed
            if self.case.stop is not None and not pressed and re.search(self.case.stop.encode(), seen):
                pressed = True
                os.write(terminal, b"\x03")

        return self.copy(name).terminal(*words, react=press)


@pytest.fixture(params=COMMANDS)
def desk(request: pytest.FixtureRequest, story: Cli, names: dict[str, str], tmp_path: Path) -> Desk:
    return Desk(request.param, COMMANDS[request.param], story, names, tmp_path)


def test_each_does_what_is_good_and_refuses_what_is_bad_in_a_pipe_and_at_a_terminal(desk: Desk) -> None:
    case, good = desk.case, desk.words(desk.case.good)
    bad = desk.words(case.bad)
    with ThreadPoolExecutor() as pool:
        as_text = pool.submit(desk.piped, "text", *good)
        at_terminal = pool.submit(desk.terminal, "terminal", *good)
        refused = pool.submit(desk.copy("bad").run, *bad)
        refused_at_terminal = pool.submit(desk.copy("bad terminal").terminal, *bad)
    status = case.status if case.stop is None else case.stopped
    check_text(as_text.result(), status)
    check_terminal(at_terminal.result(), status, colors=case.colors)
    check_refusal(refused.result(), case)
    ended, seen = refused_at_terminal.result()
    assert (ended, last_of(seen)) == (case.bad_status, refused.result().stderr.decode()), "the same at a terminal"
    before = {path.name for path in desk.story.folder.iterdir()}
    after = {path.name for path in (desk.folder / "bad").iterdir()}
    assert after - before <= {"ledger.db-wal", "ledger.db-shm"}, "nothing is half-written"


def test_what_each_prints_with_json_is_as_its_schema_says(desk: Desk) -> None:
    if desk.path in WITHOUT_JSON:
        return
    case, words = desk.case, [*desk.words(desk.case.good), "--json"]
    if case.stop is None:
        ended, out, err = desk.copy("json").call(*words)
    else:
        ended, out, err = desk.piped("json", *words)
    assert ended == (case.status if case.stop is None else case.stopped), err
    answers = [json.loads(line) for line in out.splitlines()] if desk.path in LINES else [json.loads(out)]
    assert answers
    for answer in answers:
        check_answer(desk.path, answer)


def last_of(seen: str) -> str:
    """The last line of a terminal, where bars before it are gone."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen).rpartition("\r")[2].lstrip("\n")


def check_text(ran: tuple[int, str, str], status: int) -> None:
    ended, out, err = ran
    assert ended == status, err
    assert out or err or status == 0
    assert ESCAPE not in out + err
    assert not set("╭╰") & set(out + err), "no boxes"
    assert not re.search(r" $", out, re.MULTILINE), "nothing is filled up"


def check_terminal(ran: tuple[int, str], status: int, *, colors: bool | None) -> None:
    ended, seen = ran
    assert ended == status, seen
    assert colors is None or (ESCAPE in seen) == colors
    assert "Traceback" not in seen


def check_refusal(ran: subprocess.CompletedProcess[bytes], case: Case) -> None:
    err = ran.stderr.decode()
    assert (ran.returncode, ran.stdout, err.count("\n")) == (case.bad_status, b"", 1), err
    assert err.startswith(f"error: {case.told}")


def test_every_command_is_run_here() -> None:
    assert COMMANDS.keys() == PATHS.keys()


def without_reader(cli: Cli, *arguments: str, stream: int = 1, **env: str) -> tuple[int, bytes]:
    """Exit status, and what the other stream told, where whoever read this one (output or errors) went away."""
    (gone, written), (told, tells) = os.pipe(), os.pipe()
    os.close(gone)
    streams = {"stdout": written, "stderr": tells} if stream == 1 else {"stdout": tells, "stderr": written}
    process = forked.start(arguments, cli.folder, cli.environment(**env), **streams)
    os.close(written)
    os.close(tells)
    with open(told, "rb") as other:
        seen = other.read()
    return process.wait(60), seen


PRINTS = ["", "--help", "--version", "import", "record --help", *(f"completion {each}" for each in SHELLS)]


@pytest.mark.parametrize("arguments", PRINTS)
def test_help_whose_reader_went_away_ends_without_a_word(cli: Cli, arguments: str) -> None:
    assert without_reader(cli, *arguments.split()) == (141, b"")
    if not arguments.startswith("import"):  # a whole Python, which takes half a second
        assert without_reader(cli, *arguments.split(), PYTHONUNBUFFERED="1") == (141, b"")


SILENT = {"export events", "export ledger", "import ledger", "record", "serve"}
"""Commands that have nothing to say on the output, where all is well."""


def test_each_whose_reader_went_away_ends_without_a_word(desk: Desk) -> None:
    if desk.path in SILENT:
        return
    ended, told = without_reader(desk.copy("gone"), *desk.words(desk.case.good))
    assert (ended, told) == (141, b"")


def test_an_error_that_nobody_reads_has_its_exit_status(desk: Desk) -> None:
    ended, out = without_reader(desk.copy("bad"), *desk.words(desk.case.bad), stream=2)
    assert (ended, out) == (desk.case.bad_status, b"")


def test_every_command_prints_json_or_has_a_reason_not_to() -> None:
    with_json = {path for path, command in PATHS.items() if "json" in {each.name for each in command.params}}
    assert with_json == ANSWERS.keys()
    assert PATHS.keys() - with_json == WITHOUT_JSON.keys()


@pytest.mark.parametrize("path", ["", *PATHS, *GROUPS])
def test_the_help_of_each_has_examples_that_its_parser_takes(path: str, story: Cli) -> None:
    text = story.text(*path.split(), "--help")
    assert re.search(rf"^ *Examples *\n +execution-ledger {path}", text, re.MULTILINE)
    for example in EXAMPLES[path]:
        parse(shlex.split(example.partition(" > ")[0]))


def test_there_are_no_other_examples() -> None:
    assert EXAMPLES.keys() == {"", *PATHS, *GROUPS}


def parse(words: list[str]) -> None:
    """As the program would, up to the point where the command is called."""
    command: Any = whole()
    context = None
    while hasattr(command, "commands"):
        context = command.make_context(words[0], [], parent=context, resilient_parsing=True)
        command, words = command.commands[words[0]], words[1:]
    command.make_context("example", words, parent=context)


def test_each_command_calls_a_service_or_says_why_not(story: Cli, names: dict[str, str]) -> None:
    for path, command in PATHS.items():
        assert calls_services(command) or why_database(path) or path == "completion", path
        if calls_services(command) or path == "completion":
            continue
        good = shlex.split(COMMANDS[path].good.format(**names))
        story.env.pop("EXECUTION_LEDGER_URL", None)
        if "--database" in good:
            good = good[: good.index("--database")]
        ways = [["--url", "http://x", *path.split(), *good], [*path.split(), *good, "--url", "http://x"]]
        for words in ways:
            [line] = story.text(*words, status=2).splitlines()
            assert line.startswith(f"error: --url: `{path}` works on a database: ")
            assert line.endswith("Name the database with --database.")
        story.env["EXECUTION_LEDGER_URL"] = "http://x"
        assert story.text(*path.split(), *good, status=2).startswith("error: EXECUTION_LEDGER_URL: `")
        del story.env["EXECUTION_LEDGER_URL"]
