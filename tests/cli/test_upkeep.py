"""`verify`, `rebuild` and `projections`, as an operator runs them."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import text

from execution_ledger.api.terminal import progress
from execution_ledger.infrastructure import create_sync_engine
from execution_ledger.projections.engine.checkpoints import stop

from .conftest import Cli


def spoil(cli: Cli) -> None:
    engine = create_sync_engine(cli.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE execution_history SET message = 'spoiled'"))
    engine.dispose()


def test_a_ledger_in_order_is_verified_and_one_that_is_not_ends_with_1(cli_on_both: Cli) -> None:
    cli = cli_on_both
    cli.run("record", "--", "true")
    assert cli.text("verify") == "1 execution verified: no difference.\n"
    spoil(cli)
    told = cli.run("verify")
    assert told.returncode == 1
    first, last = told.stdout.decode().splitlines()
    assert first.startswith("default: execution_history id=1: message is 'spoiled', should be ")
    assert last == "1 difference in 1 execution."
    answer = json.loads(cli.run("verify", "--no-hashes", "--json").stdout)
    assert (answer["ledger"], answer["executions"], len(answer["differences"])) == ("default", 1, 1)
    assert answer["differences"][0]["found"] == "spoiled"


def test_a_rebuild_tells_what_differs_and_mends_it(cli_on_both: Cli) -> None:
    cli = cli_on_both
    cli.run("record", "--", "true")
    spoil(cli)
    checked = cli.run("rebuild", "--check")
    assert checked.returncode == 1
    told = "execution_history: 0 missing, 0 too many, 1 different\n  changed: id=1\n"
    assert checked.stdout.decode() == told
    kept = cli.run("rebuild", "--keep")
    assert kept.returncode == 0
    assert kept.stdout.decode().startswith(told + "Swapped in.")
    assert cli.run("verify").returncode == 0
    assert cli.text("rebuild", "--roll-back") == "Rolled back.\n"
    assert cli.run("verify").returncode == 1
    assert cli.text("rebuild").endswith("Swapped in.\n")
    assert cli.run("verify").returncode == 0
    assert cli.text("rebuild", "run_statistics").endswith("Swapped in.\n")
    assert cli.text("rebuild", "--finish") == "Finished.\n"


def test_projections_are_shown_with_their_lag(cli_on_both: Cli) -> None:
    cli = cli_on_both
    cli.run("record", "--", "true")
    rows = [row.split() for row in cli.text("projections").splitlines()]
    assert rows[0] == ["projection", "position", "lag", "state"]
    names = {"run_statistics", "execution_time_marks", "execution_snapshots"}
    assert {tuple(row[:2]) for row in rows[1:]} == {(name, "0") for name in names}
    cli.run("rebuild", "run_statistics")
    found = {each["projection"]: each for each in cli.json("projections")["projections"]}
    assert found["run_statistics"]["lag"] == 0
    assert found["run_statistics"]["position"] == found["run_statistics"]["size"]
    assert not found["run_statistics"]["stopped"]
    assert cli.text("projections", "--retry", "run_statistics").startswith("run_statistics has not stopped.\n")


def test_what_is_wrong_is_one_line(cli: Cli, tmp_path: Path) -> None:
    for arguments, status, told in (
        (("verify",), 3, "Nothing is recorded yet"),
        (("rebuild", "--check", "--keep"), 2, "only one of --check, --keep, --roll-back, --finish"),
    ):
        ran = cli.run(*arguments)
        assert ran.returncode == status
        assert told in ran.stderr.decode()
        assert ran.stderr.count(b"\n") == 1
    cli.run("record", "--", "true")
    for arguments, told in (
        (("rebuild", "nothing"), "There are: execution_history, run_statistics, execution_time_marks"),
        (("rebuild", "--roll-back"), "is not swapped in. Swap it in first."),
        (("projections", "--retry", "nothing"), "There is no projection 'nothing' here."),
    ):
        ran = cli.run(*arguments)
        assert ran.returncode == 1
        assert told in ran.stderr.decode()
        assert ran.stderr.count(b"\n") == 1


def test_a_service_tells_of_its_projections_and_has_them_try_again(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    cli.run("record", "--", "true")
    cli.text("rebuild", "run_statistics", "--database", cli.url)
    engine = create_sync_engine(cli.url)
    with engine.begin() as connection:
        stop(connection, "run_statistics", "default", 1, ValueError("no such column"))
    engine.dispose()
    stopped = [line for line in cli.text("projections").splitlines() if line.startswith("run_statistics")]
    assert stopped[0].split()[1:] == ["0", "3", "stopped", "at", "1:", "ValueError:", "no", "such", "column"]
    answer = cli.json("projections", "--retry", "run_statistics")
    assert answer["retried"] is True
    assert not any(each["stopped"] for each in answer["projections"])
    assert cli.json("projections", "--retry", "run_statistics")["retried"] is False
    assert cli.json("projections")["retried"] is None
    assert cli.text("projections", "--retry", "nothing", status=1).startswith("error: There is no projection 'nothing'")


def test_a_bar_is_shown_to_whoever_waits_for_long_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, seconds, shown in ((True, 0.3, True), (True, 0, False), (False, 0.3, False)):
        screen = Console(file=io.StringIO(), force_terminal=terminal, width=80)
        monkeypatch.setattr(progress, "make_console", lambda screen=screen, **_: screen)
        monkeypatch.setattr(progress, "_LONG", 0.05)
        with progress.waiting("read"):
            time.sleep(seconds)
        assert isinstance(screen.file, io.StringIO)
        assert ("read" in screen.file.getvalue()) == shown
