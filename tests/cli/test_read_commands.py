"""`status`, `history`, `timeline` and `ledger` tell people and programs the same, and change nothing."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from execution_ledger.domain import Create, FinishStep, StartStep, Tree, Update
from execution_ledger.infrastructure import (
    ExecutionHistory,
    ExecutionRepository,
    GroupWriter,
    Request,
    Settings,
    migrate,
)
from support.http_service import running

from .conftest import Cli

_COLUMNS = {column.name for column in ExecutionHistory.__table__.columns}
_EVENT = {"ledger_id", "position", "job_id", "execution_id", "version", "type", "schema_version", "data", "recorded_at"}
_EVENT |= {"occurred_at", "actor", "reason", "correlation_id", "causation_id", "trace_id", "command_id"}


def write(cli: Cli, story: Callable[[ExecutionRepository], Awaitable[Any]]) -> None:
    cli.ask(lambda _, executions: story(executions))


async def three_runs(runs: ExecutionRepository) -> None:
    begin = datetime(2026, 3, 1, 8, tzinfo=UTC)

    def at(seconds: float) -> dict[str, Any]:
        return {"occurred_at": begin + timedelta(seconds=seconds)}

    create = {"job_id": "nightly-1", "run_name": "nightly load", "created_at": begin, "inputs": {"day": "monday"}}
    await runs.create_execution(create, actor="ada", reason="the usual", **at(0))
    await runs.transition("nightly-1", "started", **at(2), actor="worker")
    await runs.start_step("nightly-1", "extract", **at(3))
    await runs.start_step("nightly-1", "page 1", parent_step_id="extract", **at(4))
    await runs.add_note("nightly-1", "".join(f"row {n}\n" for n in range(100)), source="stdout", **at(5))
    await runs.finish_step("nightly-1", "page 1", **at(6))
    await runs.finish_step("nightly-1", "extract", "failed", error="disk full", **at(9))
    await runs.update_execution("nightly-1", {"progress": 0.25, "message": "a quarter"}, **at(9.5))
    await runs.mark_execution_failed("nightly-1", "disk full", **at(10))
    await runs.create_execution({"job_id": "other", "run_name": "weekly", "status": "running", "attempt": 3})
    await runs.create_execution({"job_id": "gone", "run_name": "mistake"}, actor="ada")
    await runs.delete(3, actor="ada", reason="made by mistake")


def test_what_status_tells(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    write(cli, three_runs)
    lines = cli.text("status", "nightly-1").splitlines()
    assert lines[0] == "nightly-1  ✘ failed"
    facts = dict(line.split(maxsplit=1) for line in lines[1:])
    assert facts["Name"] == "nightly load"
    assert facts["When"] == "2026-03-01 13:45:02 +0545, took 8.0 s"  # the zone of whoever reads it
    assert facts["By"] == "ada"
    assert facts["Why"] == "the usual"
    assert facts["Error"] == "disk full"
    assert facts["Progress"].endswith(" 25%")
    assert facts["Inputs"] == "day monday"
    assert facts["Events"] == "9 · execution-ledger timeline nightly-1"
    assert cli.text("status", "1").splitlines() == lines  # by its number as well
    answer = cli.json("status", "nightly-1")
    assert answer.keys() == _COLUMNS | {"created_by", "reason", "changed_by"}
    assert (answer["status"], answer["created_by"], answer["reason"]) == ("failed", "ada", "the usual")
    assert answer["started_at"] == "2026-03-01T08:00:02Z"


def test_what_history_tells(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    write(cli, three_runs)
    header, other, nightly, _, footer = cli.text("history").splitlines()
    assert header.split() == ["#", "Job", "Name", "Status", "Started", "Took", "Try"]
    assert re.match(r"2  other +weekly +● running +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +.+ +3$", other)
    assert re.match(r"1  nightly-1  nightly load  ✘ failed +2026-03-01 13:45:02 +8.0 s +1$", nightly)
    assert footer == "2 executions: 1 running · 1 failed · times in +0545"
    assert cli.text("history", "--status", "FAILED").splitlines()[-1].startswith("1 of 2 executions: ")
    assert cli.text("history", "--name-prefix", "week").splitlines()[1].startswith("2  other")
    first = cli.text("history", "--limit", "1").splitlines()
    more = first[-1].removeprefix("more: the same with ").split()
    assert cli.text("history", "--limit", "1", *more).splitlines()[1].startswith("1  nightly-1")
    answer = cli.json("history", "--limit", "1")
    assert answer.keys() == {"executions", "total", "next_cursor", "statuses"}
    assert (answer["total"], answer["statuses"]["failed"]) == (2, 1)
    assert [each.keys() for each in answer["executions"]] == [_COLUMNS]


def test_history_by_when_executions_ended(cli_anywhere: Cli) -> None:
    cli = cli_anywhere

    async def story(runs: ExecutionRepository) -> None:
        ago = {name: datetime.now(UTC) - timedelta(**{name: 30}) for name in ("days", "hours", "minutes")}
        for name, end in ago.items():
            await runs.create_execution({"job_id": name, "status": "failed", "created_at": end, "completed_at": end})
        await runs.create_execution({"job_id": "running", "status": "running"})

    def found(*options: str) -> list[str]:
        return [each["job_id"] for each in cli.json("history", *options)["executions"]]

    write(cli, story)
    assert found("--ended-since", "24h") == ["minutes"]
    assert found("--ended-since", "3d", "--ended-until", "1h") == ["hours"]
    assert found("--ended-until", "2000-01-01T00:00:00Z") == []
    asked = ("history", "--ended-since", "9w", "--status", "failed")
    first = cli.text(*asked, "--limit", "1").splitlines()
    assert first[-2].startswith("3 of 4 executions: ")
    more = [*asked, *first[-1].removeprefix("more: the same with ").split()]
    assert [line.split()[1] for line in cli.text(*more).splitlines()[1:3]] == ["hours", "days"]
    wrong = cli.text("history", "--ended-until", "yesterday", status=2)
    assert wrong.startswith("error: --ended-until: 'yesterday' is not a time")


def test_what_timeline_tells(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    write(cli, three_runs)
    text = cli.text("timeline", "nightly-1")
    assert text.startswith("nightly-1  ✘ failed\nnightly load · 2026-03-01 13:45:00 +0545 · by ada\n")
    bars = re.search(
        r"^ +10.0 s  (━+)\nextract +✘ +6.0 s  ( +█+.?)\n  page 1  ✔ +2.0 s  ( +█+.?)\n", text, re.MULTILINE
    )
    assert bars is not None
    whole, outer, inner = (len(bar) for bar in bars.groups())
    assert inner < outer < whole
    assert "pending 2.0 s → running 8.0 s → failed\n" in text
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines()]
    assert ["0.000 s", "ada", "created", "nightly load"] in rows
    assert ["2.000 s", "worker", "started"] in rows
    assert ["9.500 s", "-", "progressed", "25% · a quarter"] in rows
    assert ["10.000 s", "-", "failed", "disk full"] in rows
    assert "… 94 more lines" in text
    assert text.endswith("9 events · times in +0545\n")
    assert "row 50" not in text
    assert "row 50" in cli.text("timeline", "nightly-1", "--notes", "full")
    bare = cli.text("timeline", "nightly-1", "--notes", "none")
    assert "row" not in bare
    assert "9 events, 1 note not shown" in bare
    page = cli.text("timeline", "nightly-1", "--limit", "4", "--from", "3")
    assert "4 events of 9 · times in +0545\nmore: execution-ledger timeline nightly-1 --from 7\n" in page
    assert "running 8.0 s" in page  # spans are those of all events
    answer = cli.json("timeline", "nightly-1")
    assert answer.keys() == {"job_id", "execution", "statuses", "steps", "events", "next_version"}
    assert [event["version"] for event in answer["events"]] == list(range(1, 10))
    assert answer["events"][0].keys() == _EVENT
    assert answer["steps"][0]["steps"][0]["seconds"] == 2
    assert [span["status"] for span in answer["statuses"]] == ["pending", "running", "failed"]


def test_the_bars_of_a_run_rich_in_steps_are_of_all_of_it(cli: Cli) -> None:
    migrate(cli.url)

    async def many_steps() -> None:
        async with GroupWriter(cli.url) as writer:
            await writer.execute(Request("default", "rich", Create.of({"job_id": "rich", "status": "running"})))
            await writer.execute(Request("default", "rich", StartStep.of("s0")))
            inner = (StartStep.of(f"s{at}", parent_step_id="s0") for at in range(1, 10_050))
            await writer.execute_many(Request("default", "rich", each) for each in inner)
            await writer.execute(Request("default", "rich", FinishStep.of("s0", "failed")))
            await writer.execute(Request("default", "rich", Update.of({"status": "completed"})))

    asyncio.run(many_steps())
    text = cli.text("timeline", "rich", "--limit", "1")
    assert "… 10,000 more" in text
    assert re.search(r"^running .* → completed", text, re.MULTILINE)
    answer = cli.json("timeline", "rich", "--limit", "1")
    assert [span["status"] for span in answer["statuses"]] == ["running", "completed"]
    (outer,) = answer["steps"]
    assert (outer["outcome"], len(outer["steps"])) == ("failed", 10_049)


def test_what_ledger_tells(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    write(cli, three_runs)
    tree = Tree()
    tree.extend(cli.leaves())
    root = tree.root.hex()
    text = cli.text("ledger")
    assert re.search(r"^Size +12 events, since ", text, re.MULTILINE)
    assert re.search(r"^Executions +2  1 running · 1 failed$", text, re.MULTILINE)
    assert re.search(rf"^Root +{root}$", text, re.MULTILINE)
    answer = cli.json("ledger")
    assert answer.keys() == {"ledger", "size", "executions", "statuses", "created_at", "root"}
    assert (answer["size"], answer["executions"], answer["root"]) == (12, 2, root)


def test_an_execution_that_was_deleted_is_told_from_one_that_never_was(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    write(cli, three_runs)
    deleted = "error: JOB: execution 'gone' was deleted. Its events stay: `execution-ledger timeline gone`.\n"
    assert cli.text("status", "gone", status=1) == deleted
    assert "gone  deleted\n" in cli.text("timeline", "gone")
    assert "why: made by mistake" in cli.text("timeline", "gone")
    unknown = "error: JOB: there is no execution 'nope' in ledger 'default'. See `execution-ledger history`.\n"
    assert cli.text("status", "nope", status=1) == unknown
    assert cli.text("timeline", "nope", status=1) == unknown


@pytest.mark.parametrize("command", [["status", "x"], ["history"], ["timeline", "x"], ["ledger", "--json"]])
def test_reading_makes_no_database(cli: Cli, command: list[str]) -> None:
    told = f"error: Nothing is recorded yet: there is no file {cli.folder}/ledger.db. "
    told += "Begin with `execution-ledger record -- COMMAND`.\n"
    ran = cli.run(*command)
    assert (ran.returncode, ran.stdout, ran.stderr.decode()) == (3, b"", told)
    assert list(cli.folder.iterdir()) == []


def test_a_database_of_a_later_version_is_left_alone(cli: Cli) -> None:
    migrate(cli.url)
    with sqlite3.connect(cli.folder / "ledger.db") as database:
        database.execute("UPDATE execution_ledger_version SET version_num = 'later'")
    told = "error: The database's schema (later) is of a later version of execution-ledger. Upgrade execution-ledger."
    for command in ("history", "migrate"):
        assert cli.text(command, status=3) == f"{told}\n"
    assert cli.text("record", "true", status=125) == f"{told} (nothing was run)\n"


def test_an_empty_ledger(cli: Cli) -> None:
    migrate(cli.url)
    assert cli.text("history") == "No executions yet. Begin with: execution-ledger record -- COMMAND\n"
    assert cli.json("history") | {"statuses": {}} == {
        "executions": [],
        "total": 0,
        "next_cursor": None,
        "statuses": {},
    }
    assert cli.json("ledger")["root"] == Tree().root.hex()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///empty.db", "Run `execution-ledger migrate`"),
        ("sqlite:///text.db", "no SQLite database. Name another"),
        ("postgresql://127.0.0.1:1/x", "The database did not answer"),
    ],
)
def test_a_database_that_cannot_be_read_is_told_in_one_line(cli: Cli, url: str, words: str) -> None:
    (cli.folder / "empty.db").touch()
    (cli.folder / "text.db").write_text("hello " * 1000)
    [line] = cli.text("history", "--database", url, status=3).splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["histroy"], "Did you mean 'history'"),
        (["history", "--limit", "0"], "--limit"),
        (["timeline"], "JOB"),
        (["timeline", "x", "--notes", "all"], "--notes"),
        (["status", "x", "--bogus"], "--bogus"),
    ],
)
def test_wrong_usage_is_told_in_one_line(cli: Cli, arguments: list[str], words: str) -> None:
    [line] = cli.text(*arguments, status=2).splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["status", "x", "--url", "nonsense"], 1, "url: 'nonsense' is no address."),
        (["status", "x", "--url", "http://x", "--database", "sqlite:///x.db"], 2, "--url: is given beside --database."),
        (["--url", "http://x", "verify"], 2, "--url: `verify` works on a database: it compares rows of tables."),
    ],
)
def test_a_service_is_named_where_it_can_be_asked(cli: Cli, arguments: list[str], status: int, words: str) -> None:
    [line] = cli.text(*arguments, status=status).splitlines()
    assert line.startswith(f"error: {words}")


def test_a_service_that_refuses_or_is_away_is_told_in_one_line(cli_on_both: Cli) -> None:
    with running(Settings(database_url=cli_on_both.url, actor=None, auth=True)) as address:
        [line] = cli_on_both.text("history", "--url", address, status=1).splitlines()
        assert line == "error: There is no key or token. Send `Authorization: Bearer` with an API key or a token."
    [line] = cli_on_both.text("history", "--url", address, status=3).splitlines()
    assert line.startswith(f"error: {address.removeprefix('http://')} does not answer: ")


def test_wrong_filters_are_refused_by_name(cli: Cli) -> None:
    migrate(cli.url)
    for arguments, told in (
        ("history --status done", "--status: 'done' is not a status. Use one"),
        ("history --cursor x", "--cursor: is not a cursor."),
        ("audit --since x", "--since: 'x' is not a time."),
        ("audit --until x", "--until: 'x' is not a time."),
        ("audit --field x", "--field: 'x' is "),
        ("audit --type x", "--type: 'x' is not an event."),
        ("export events x.csv --since x", "--since: 'x' is not a time."),
        ("stats --since x", "--since: 'x' is not a time."),
        ("stats --until 1000-01-01 --since 99999w", "--since: 99999w ago there was no calendar. Name a later time."),
        ("replay j --speed inf", "Invalid value for '--speed'"),
        ("keys create x --scope root", "--scope: 'root' is no scope."),
        ("keys create x --scope read --days 1e12", "Invalid value for '--days'"),
        ("keys create x --scope read --days inf", "Invalid value for '--days'"),
        ("keys rotate x --overlap-hours 1e20", "Invalid value for '--overlap-hours'"),
        ("ledger --database mysql://x/y", "--database: mysql is not supported."),
        ("export ledger - --json", "--json: the output is the backup itself."),
    ):
        assert cli.text(*arguments.split(), status=2).startswith(f"error: {told}"), arguments


def test_options_stand_before_or_after_the_name_of_the_command(cli: Cli) -> None:
    other = f"sqlite:///{cli.folder}/other.db"
    assert cli.run("--database", other, "--ledger", "blue", "--actor", "eve", "record", "-q", "true").returncode == 0
    assert json.loads(cli.text("ledger", "--json", "--database", other, "--ledger", "blue"))["size"] == 3
    cli.env = {"EXECUTION_LEDGER_DATABASE_URL": other, "EXECUTION_LEDGER_LEDGER": "blue"}
    assert cli.json("status", "1")["created_by"] == "eve"


def test_at_a_terminal_there_are_colors_and_lines_that_fit(cli: Cli) -> None:
    migrate(cli.url)
    write(cli, three_runs)
    name = {"job_id": "j" * 60, "run_name": "a name that is far too long for a line of a terminal " * 3}
    write(cli, lambda runs: runs.create_execution(name))
    for arguments in (["history"], ["status", "nightly-1"], ["timeline", "nightly-1"], ["ledger"]):
        status, seen = cli.terminal(*arguments, columns=80)
        assert status == 0
        assert "\x1b[" in seen
        lines = re.sub(r"\x1b\[[0-9;]*m", "", seen).splitlines()
        assert max(map(len, lines)) <= 80, seen
    assert cli.terminal("status", "nightly-1")[1].startswith("\x1b[2m╭─")


def test_in_a_pipe_there_are_neither_colors_nor_boxes_and_nothing_is_cut(cli: Cli) -> None:
    migrate(cli.url)
    write(cli, three_runs)
    write(cli, lambda runs: runs.create_execution({"job_id": "j" * 255, "run_name": "n" * 255}))
    for arguments in (["history"], ["status", "4"], ["timeline", "j" * 255]):
        text = cli.run(*arguments).stdout.decode()
        assert "\x1b" not in text
        assert "╭" not in text
        assert "…" not in text
        assert "j" * 255 in text
        assert not re.search(r" $", text, re.MULTILINE)


def test_text_of_others_cannot_play_with_the_terminal(cli: Cli) -> None:
    migrate(cli.url)
    evil = "ok\x1b[2J\x1b]0;title\x07\x1b[31m\r\x08\x9b2Jfake\u202egnp"

    async def story(runs: ExecutionRepository) -> None:
        data = {"job_id": f"e{evil}", "run_name": evil, "attributes": {evil: evil}, "inputs": {"argv": [evil]}}
        await runs.create_execution(data, actor=evil, reason=evil)
        await runs.start_step(1, evil)
        await runs.add_note(1, evil + "\n" + evil, source=evil)
        await runs.finish_step(1, evil, "failed", error=evil)
        await runs.update_execution(1, {"status": "failed", "error": evil, "message": evil, "result": evil})

    write(cli, story)
    for arguments in (["history"], ["status", "1"], ["timeline", "1"], ["status", evil], ["history", "--cursor", evil]):
        _, out, err = cli.call(*arguments)
        assert not set("\x1b\x07\x08\r\x9b\u202e") & set(out + err)
    assert json.loads(cli.text("status", "1", "--json"))["run_name"] == evil


def test_a_terminal_without_unicode_shows_something_else(cli: Cli) -> None:
    migrate(cli.url)
    write(cli, three_runs)
    for arguments in (["history"], ["timeline", "nightly-1"], ["status", "nightly-1"]):
        ran = cli.run(*arguments, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert ran.stdout.isascii()
    assert b"* failed" in ran.stdout


def test_a_reader_that_goes_away_is_no_error(cli: Cli) -> None:
    migrate(cli.url)

    async def story(runs: ExecutionRepository) -> None:
        await runs.create_execution({"job_id": "j"})
        await runs.add_note("j", "a line of text\n" * 50_000)

    write(cli, story)
    for option in ("--notes=full", "--json"):
        assert cli.leave("timeline", "j", option) == (141, b"")


def test_ctrl_c_ends_a_reading_command_without_a_word(cli_on_postgres: Cli) -> None:
    url = make_url(cli_on_postgres.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as blocker, psycopg.connect(url, autocommit=True) as watcher:
        blocker.execute("LOCK TABLE ledgers, execution_history IN ACCESS EXCLUSIVE MODE")
        process = cli_on_postgres.start("history")
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while watcher.execute(waiting).fetchone() == (0,):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_help_tells_examples_and_exit_statuses(cli: Cli) -> None:
    text = cli.text()
    for command in ("record", "status", "history", "timeline", "ledger", "migrate", "serve"):
        assert re.search(rf"^│ {command} ", text, re.MULTILINE)
    assert "execution-ledger record -- make test" in text
    assert re.search(r"^ +3 +the database or service is missing", text, re.MULTILINE)
    assert re.search(r"^ +125 +`record` failed", cli.text("record", "--help"), re.MULTILINE)
