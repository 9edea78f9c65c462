"""`export`, `doctor` and `completion`."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from execution_ledger.infrastructure import ExecutionRepository, Settings, create_sync_engine, migrate
from execution_ledger.infrastructure.tables import execution_leases
from execution_ledger.projections import LedgerQueries
from execution_ledger.projections.engine.checkpoints import stop
from execution_ledger.projections.exports import manifest_path
from support.http_service import running
from support.json_answers import check_answer
from support.other_server import answering

from .conftest import Cli
from .test_read_commands import three_runs, write


def test_an_export_is_written_to_a_file_or_to_the_output(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    write(cli, three_runs)
    ran = cli.run("export", "events", "all.jsonl")
    assert (ran.returncode, ran.stdout) == (0, b"")
    lines = (cli.folder / "all.jsonl").read_bytes()
    events = [json.loads(line) for line in lines.splitlines()]
    assert [event["position"] for event in events] == list(range(1, 13))
    assert cli.run("export", "events", "-", "--format", "jsonl").stdout == lines
    some = cli.run("export", "events", "-", "--format", "csv", "--type", "deleted", "--type", "failed").stdout.decode()
    assert len(some.splitlines()) == 3
    again = cli.run("export", "events", "all.jsonl")
    assert again.returncode == 1
    assert b"all.jsonl" in again.stderr
    assert cli.run("export", "events", "all.jsonl", "--overwrite", "--job", "other").returncode == 0
    assert len((cli.folder / "all.jsonl").read_text().splitlines()) == 1
    assert cli.text("export", "events", "all", status=1).startswith("error: FILE: 'all' tells no format.")
    assert cli.text("export", "events", "nowhere/all.csv", status=1).startswith("error: ")
    assert cli.text("export", "events", "x.csv", "--type", "exploded", status=2).startswith("error: --type: ")
    assert not list(cli.folder.glob(".*.part"))


def test_a_place_that_cannot_be_written_to_is_told_by_the_name_that_was_given(cli_anywhere: Cli) -> None:
    write(cli_anywhere, three_runs)
    for arguments in (("events",), *([] if "EXECUTION_LEDGER_URL" in cli_anywhere.env else [("ledger",)])):
        name = f"{'x' * 225}.csv"  # the name of a part would be longer than any file system takes
        told = cli_anywhere.text("export", *arguments, name, status=1)
        assert told == f"error: {name}: File name too long. Name a place that you may read and write.\n"


def test_a_setting_that_is_no_list_is_wrong_usage(cli: Cli) -> None:
    for name, value in (("WEBHOOK_ALLOW", "10.0.0.0/8"), ("CORS_ORIGINS", "http://x")):
        cli.env = {f"EXECUTION_LEDGER_{name}": value}
        told = f'error: EXECUTION_LEDGER_{name}: is no JSON list. Write it as ["one", "two"].\n'
        assert cli.text("history", status=2) == cli.text("record", "--", "touch", "made", status=2) == told
    assert not (cli.folder / "made").exists()


def test_an_export_of_a_database_has_a_manifest_with_its_root(cli: Cli) -> None:
    migrate(cli.url)
    write(cli, three_runs)
    ran = cli.run("export", "events", "all.csv")
    assert ran.stderr.decode() == "12 events of 12 in all.csv, manifest all.csv.manifest.json\n"
    manifest = json.loads(manifest_path(cli.folder / "all.csv").read_text())

    async def root(queries: LedgerQueries, _: object) -> str:
        return (await queries.root()).root.hex()

    assert manifest["root"] == cli.ask(root)


def test_an_export_whose_reader_goes_away_ends_without_a_word(cli: Cli) -> None:
    migrate(cli.url)

    async def story(runs: ExecutionRepository) -> None:
        await runs.create_execution({"job_id": "j"})
        await runs.add_note("j", "a line of text\n" * 50_000)

    write(cli, story)
    assert cli.leave("export", "events", "-", "--format", "jsonl") == (141, b"")


def test_a_doctor_finds_nothing_wrong_where_nothing_is(cli_anywhere: Cli) -> None:
    write(cli_anywhere, three_runs)
    status, out, _ = cli_anywhere.call("doctor", "--json")
    answer = json.loads(out)
    wrong = [finding["told"] for finding in answer["findings"] if finding["verdict"] != "well"]
    asked_server = cli_anywhere.url.startswith("postgresql") and "EXECUTION_LEDGER_URL" not in cli_anywhere.env
    # The server of the tests is one that loses what it acknowledged.
    assert wrong == (["fsync is off", "full_page_writes is off"] if asked_server else [])
    assert status == bool(wrong)
    subjects = {finding["subject"] for finding in answer["findings"]}
    assert {"python", "ledger", "projection run_statistics"} <= subjects
    assert "12 events" in cli_anywhere.call("doctor")[1]


def test_a_doctor_tells_what_is_wrong_with_the_remedy(cli: Cli) -> None:
    status, out, _ = cli.call("doctor")
    assert status == 1
    assert "Begin with `execution-ledger record" in out
    migrate(cli.url)
    empty = cli.json("doctor")
    assert [finding["verdict"] for finding in empty["findings"] if finding["subject"] == "ledger"] == ["warning"]
    write(cli, three_runs)
    cli.text("stats")
    write(cli, lambda runs: runs.take_lease("other", holder="w", ttl=60))
    engine = create_sync_engine(cli.url)
    with engine.begin() as connection:
        connection.execute(update(execution_leases).values(expires_at=datetime.now(UTC) - timedelta(hours=1)))
        stop(connection, "run_statistics", "default", 3, ValueError("no such column"))
    engine.dispose()
    status, out, _ = cli.call("doctor")
    assert status == 1
    assert "1 run lost their worker" in out
    assert "execution-ledger reap" in out
    assert "no such column" in out
    assert "--retry run_statistics" in out
    assert cli.call("doctor", "--url", "http://127.0.0.1:1")[0] == 1


@pytest.mark.parametrize("table", ["ledgers", "execution_leases"])
def test_a_doctor_of_a_damaged_database_keeps_what_it_found_before(cli: Cli, table: str) -> None:
    migrate(cli.url)
    write(cli, three_runs)
    with closing(sqlite3.connect(cli.folder / "ledger.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with (cli.folder / "ledger.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    answer = json.loads(cli.call("doctor", "--json")[1])
    findings = [(finding["subject"], finding["verdict"]) for finding in answer["findings"]]
    assert findings[:3] == [("python", "well"), ("database", "well"), ("durability", "well")]
    assert findings[-1] == ("database", "wrong")
    assert answer["findings"][-1]["remedy"] == "Restore it from a backup."
    check_remedies(answer)


def check_remedies(answer: Any) -> set[str]:
    """The subjects of what is not well: each has a remedy, which is not told twice."""
    check_answer("doctor", answer)
    found = [finding for finding in answer["findings"] if finding["verdict"] != "well"]
    for finding in found:
        assert finding["remedy"], finding
        assert finding["remedy"] not in finding["told"]
    return {finding["subject"] for finding in found}


def test_a_doctor_has_a_remedy_for_each_thing_that_is_not_well(cli: Cli) -> None:
    (cli.folder / "text.db").write_text("no database " * 500)
    empty = f"sqlite:///{cli.folder}/empty.db"
    create_sync_engine(empty).connect().close()
    with answering(b"<title>Welcome</title>", "text/html", 200) as other:
        for where, subject in (
            (("--database", "sqlite:///none.db"), "database"),
            (("--database", "sqlite:///nowhere/x.db"), "database"),
            (("--database", "sqlite:///text.db"), "database"),
            (("--database", "postgresql://127.0.0.1:1/x"), "database"),
            (("--database", empty), "database"),
            (("--url", "http://127.0.0.1:1"), "service"),
            (("--url", other), "service"),
        ):
            ran = cli.run("doctor", "--json", *where)
            assert (ran.returncode, ran.stderr) == (1, b""), where
            assert check_remedies(json.loads(ran.stdout)) == {subject}


def test_a_doctor_of_a_service_tells_the_same_remedies_as_of_its_database(cli_on_both: Cli) -> None:
    write(cli_on_both, three_runs)
    cli_on_both.text("stats")
    engine = create_sync_engine(cli_on_both.url)
    with engine.begin() as connection:
        stop(connection, "run_statistics", "default", 3, ValueError("no such column"))
    engine.dispose()
    with running(Settings(database_url=cli_on_both.url, actor=None)) as address:
        for where in ("--database", cli_on_both.url), ("--url", address):
            answer = json.loads(cli_on_both.run("doctor", "--json", *where).stdout)
            assert "projection run_statistics" in check_remedies(answer)
            [stopped] = [each for each in answer["findings"] if each["subject"] == "projection run_statistics"]
            assert stopped["told"] == "stopped at 3: ValueError: no such column"
            assert "--retry run_statistics" in stopped["remedy"]
        empty = json.loads(cli_on_both.run("doctor", "--json", "--url", address, "--ledger", "empty").stdout)
        assert "ledger" in check_remedies(empty)
    secured = Settings(database_url=cli_on_both.url, actor=None, auth="on")
    with running(secured) as address:
        ran = cli_on_both.run("doctor", "--json", "--url", address)
        assert check_remedies(json.loads(ran.stdout)) == {"service"}
        key = json.loads(cli_on_both.text("keys", "create", "r", "--scope", "read", "--json"))["secret"]
        ran = cli_on_both.run("doctor", "--json", "--url", address, EXECUTION_LEDGER_KEY=key)
        assert check_remedies(json.loads(ran.stdout)) == {"projections"}


def test_a_doctor_tells_of_a_file_that_may_not_be_written(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(cli.url)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, who runs many tests, may write everywhere
    assert "ledger.db may not be written\nLet this user write" in re.sub(" +", " ", cli.call("doctor")[1]).replace(
        "\n ", "\n"
    )


def test_an_export_of_one_job_takes_its_number_and_refuses_what_is_not_there(cli_anywhere: Cli) -> None:
    write(cli_anywhere, three_runs)
    by_name = cli_anywhere.run("export", "events", "-", "--format", "jsonl", "--job", "nightly-1").stdout
    assert len(by_name.splitlines()) == 9
    assert cli_anywhere.run("export", "events", "-", "--format", "jsonl", "--job", "1").stdout == by_name
    assert len(cli_anywhere.run("export", "events", "-", "--format", "jsonl", "--job", "gone").stdout.splitlines()) == 2
    told = cli_anywhere.text("export", "events", "x.jsonl", "--job", "99", status=1)
    assert told.startswith("error: JOB: there is no execution '99' in ledger 'default'.")
    assert not (cli_anywhere.folder / "x.jsonl").exists()


def test_shells_complete_commands(cli: Cli) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_EXECUTION_LEDGER_COMPLETE" in cli.text("completion", shell)
    asked = {"COMP_WORDS": "execution-ledger his", "COMP_CWORD": "1", "_EXECUTION_LEDGER_COMPLETE": "complete_bash"}
    assert cli.run(**asked).stdout == b"history\n"
    assert cli.text("completion", "csh", status=2).startswith("error: ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_has_no_mistake(cli: Cli, shell: str) -> None:
    """Where the shell is there: that it parses."""
    script = cli.text("completion", shell)
    program = shutil.which(shell)
    if program is not None:
        checked = subprocess.run([program, "-n"], input=script, text=True, capture_output=True, env=dict(os.environ))
        assert checked.returncode == 0, checked.stderr
