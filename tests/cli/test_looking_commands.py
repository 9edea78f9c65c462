"""`diff`, `audit`, `stats`, `tail` and `replay` tell the same of a database and of a service."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from execution_ledger.api.terminal import reading
from execution_ledger.api.terminal.errors import UsageProblem
from execution_ledger.api.terminal.windows import make_window
from execution_ledger.domain import InvalidInput
from execution_ledger.infrastructure import ExecutionRepository, Settings, migrate
from support.http_service import running

from .conftest import Cli
from .test_read_commands import three_runs, write
from .test_reap import until


async def two_ends(runs: ExecutionRepository) -> None:
    """Runs that ended a moment ago, by the clock of whoever looks at the statistics."""
    for job, error in (("a", "disk 7 full"), ("b", "disk 8 full"), ("c", None)):
        await runs.create_execution({"job_id": job, "run_name": "nightly", "status": "running"})
        if error:
            await runs.mark_execution_failed(job, error)
        else:
            await runs.mark_execution_completed(job, {"rows": 1})


def test_what_diff_tells(cli_anywhere: Cli) -> None:
    write(cli_anywhere, three_runs)
    lines = cli_anywhere.text("diff", "nightly-1", "1").splitlines()
    assert lines[0].split() == ["Field", "Before", "After"]
    told = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert told["status"] == ["pending", "failed"]
    assert told["progress"] == ["-", "0.25"]
    assert told["completed_at"][0] == "-"
    assert re.fullmatch(r"2026-03-01T08:00:10Z", told["completed_at"][1])
    assert lines[-1] == "8 values, 4 step events"
    assert cli_anywhere.text("diff", "1", "2", "2") == "Nothing changed in 1.\n"
    answer = cli_anywhere.json("diff", "1", "1", "2")
    assert {change["path"][0] for change in answer["changes"]} >= {"status", "started_at"}
    assert cli_anywhere.text("diff", "nobody", "1", status=1).startswith("error: JOB: there is no execution 'nobody'")
    assert cli_anywhere.text("diff", "nightly-1", "9", "1", status=1).startswith("error: before: is later than")
    assert cli_anywhere.text("diff", "nightly-1", "then", status=1).startswith("error: before: 'then' is not a time.")


def test_what_audit_tells(cli_anywhere: Cli) -> None:
    write(cli_anywhere, three_runs)
    text = cli_anywhere.text("audit", "--field", "status", "--actor", "worker")
    header, first, *_ = text.splitlines()
    assert header.split()[:5] == ["#", "Recorded", "Who", "Job", "Event"]
    assert re.search(r"worker +nightly-1 +started +status pending → running$", first)
    assert "why: made by mistake" in cli_anywhere.text("audit", "--type", "deleted")
    page = cli_anywhere.json("audit", "--limit", "2", "--oldest")
    assert [each["event"]["position"] for each in page["events"]] == [1, 2]
    following = cli_anywhere.json("audit", "--limit", "2", "--oldest", "--cursor", page["next_cursor"])
    assert [each["event"]["position"] for each in following["events"]] == [3, 4]
    assert cli_anywhere.text("audit", "--job", "1") == cli_anywhere.text("audit", "--job", "nightly-1")
    assert "made by mistake" in cli_anywhere.text("audit", "--job", "gone")
    assert cli_anywhere.text("audit", "--job", "99", status=1).startswith("error: JOB: there is no execution '99'")
    assert cli_anywhere.text("audit", "--actor", "nobody") == "No such event.\n"
    assert cli_anywhere.text("audit", "--type", "exploded", status=2).startswith("error: --type: ")


def test_what_stats_tell(cli_anywhere: Cli) -> None:
    write(cli_anywhere, two_ends)
    deadline = time.monotonic() + 30
    while (answer := cli_anywhere.json("stats", "--since", "2h", "--by", "name"))["whole"]["runs"] < 3:
        assert time.monotonic() < deadline, "the service does not count them"
    assert answer["whole"]["outcomes"]["failed"] == 2
    assert [(group["run_name"], group["runs"]) for group in answer["groups"]] == [("nightly", 3)]
    assert [(reason["reason"], reason["runs"]) for reason in answer["reasons"]] == [("disk <n> full", 2)]
    assert len(answer["longest"]) == 3
    lines = cli_anywhere.text("stats", "--since", "2h", "--by", "name").splitlines()
    assert lines[0].startswith("3 runs ended, ")
    assert lines[1] == "1 completed · 2 failed"
    assert re.match(r"nightly +3 +67% .* █+$", lines[5]), lines[5]
    assert "2  " in next(line for line in lines if line.endswith("disk <n> full"))
    assert cli_anywhere.text("stats", "--since", "2h", "--name", "other").startswith("0 runs ended, ")
    assert cli_anywhere.text("stats", "--since", "yesterday", status=2).startswith("error: --since: 'yesterday' is not")
    assert cli_anywhere.text("stats", "--until", "2020-01-01", "--since", "2020-01-02", status=2).startswith(
        "error: --until: is not after --since."
    )


def test_stats_tell_that_there_are_more_groups(cli_anywhere: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "GROUPS", 1)
    write(cli_anywhere, two_ends)
    write(cli_anywhere, lambda runs: runs.create_execution({"job_id": "d", "run_name": "x", "status": "completed"}))
    until(lambda: json.loads(cli_anywhere.text("stats", "--json"))["whole"]["runs"] == 4)
    for by, truncated in (("name", True), ("day", False)):
        answer = json.loads(cli_anywhere.text("stats", "--by", by, "--json"))
        assert (len(answer["groups"]), answer["truncated"]) == (1, truncated)
        assert ("the first 1 groups; narrow" in cli_anywhere.text("stats", "--by", by)) == truncated


def test_json_is_utf8_whatever_the_terminal_can_show(cli: Cli) -> None:
    migrate(cli.url)
    write(cli, lambda runs: runs.create_execution({"job_id": "j", "run_name": "日本 ✔"}))
    cli.env["PYTHONIOENCODING"] = "ascii"
    process = cli.start("status", "j", "--json")
    assert json.loads(process.communicate(timeout=60)[0].decode())["run_name"] == "日本 ✔"


def test_an_audit_key_audits_jobs_by_name(cli_on_both: Cli) -> None:
    write(cli_on_both, three_runs)
    secret = json.loads(cli_on_both.text("keys", "create", "a", "--scope", "audit", "--json"))["secret"]
    with running(Settings(database_url=cli_on_both.url, actor=None, auth=True)) as address:
        cli_on_both.env |= {"EXECUTION_LEDGER_URL": address, "EXECUTION_LEDGER_KEY": secret}
        assert "why: the usual" in cli_on_both.text("audit", "--job", "nightly-1")
        assert "needs the scope 'read'" in cli_on_both.text("audit", "--job", "1", status=1)


def test_what_tail_tells(cli_anywhere: Cli) -> None:
    write(cli_anywhere, three_runs)
    following = cli_anywhere.start("tail", "--after", "0", "--type", "failed", "--json")
    assert following.stdout is not None
    event = json.loads(following.stdout.readline())
    assert (event["job_id"], event["type"]) == ("nightly-1", "execution.failed")
    write(cli_anywhere, lambda runs: runs.mark_execution_failed("other", "late"))
    assert json.loads(following.stdout.readline())["job_id"] == "other"
    following.send_signal(signal.SIGINT)
    assert following.wait(30) == 130
    assert following.communicate() == (b"", b"")

    plain = cli_anywhere.start("tail", "--after", "0", "--job", "1")
    assert plain.stdout is not None
    lines = [plain.stdout.readline().decode() for _ in range(4)]
    assert re.fullmatch(r"\d\d:\d\d:\d\d  nightly-1  created  nightly load  why: the usual  \(ada\)\n", lines[0])
    plain.kill()
    plain.communicate()


def test_what_replay_tells(cli_anywhere: Cli) -> None:
    write(cli_anywhere, three_runs)
    lines = cli_anywhere.text("replay", "nightly-1", "--speed", "0").splitlines()
    assert len(lines) == 9
    assert lines[-1].split()[1:5] == ["nightly-1", "failed", "disk", "full"]
    frames = [
        json.loads(line)
        for line in cli_anywhere.text("replay", "1", "--speed", "0", "--from", "2", "--json").splitlines()
    ]
    assert [frame["event"]["version"] for frame in frames] == list(range(2, 10))
    assert [frame["execution"]["status"] for frame in frames] == ["running"] * 7 + ["failed"]
    began = time.monotonic()
    cli_anywhere.text("replay", "1", "--by", "occurred", "--speed", "20")
    assert time.monotonic() - began > 0.4, "ten seconds, twenty times as fast"
    for job in ("nobody", ".", ".."):
        told = f"error: JOB: there is no execution {job!r} in ledger 'default'."
        assert cli_anywhere.text("replay", job, status=1).startswith(told)


def test_a_replay_at_a_terminal_is_steered_with_keys(cli: Cli) -> None:
    migrate(cli.url)
    write(cli, three_runs)
    pressed: list[bytes] = []

    def react(seen: bytes, terminal: int) -> None:
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen)
        steps: list[tuple[bytes, bytes]] = [
            (b"event 2", b" "), (b"paused", b"\x1b[C"), (b"event 3", b"\x1b[D"), (b"event 2 \xc2\xb7 paused", b"+"),
            (b"paused, x2", b"\x1bOC\x1b[C"), (b"event 4", b" "),
        ]  # fmt: skip
        if len(pressed) < len(steps) and steps[len(pressed)][0] in text:
            pressed.append(steps[len(pressed)][1])
            os.write(terminal, pressed[-1])
        elif len(pressed) == len(steps):
            pressed.append(b"q")
            os.write(terminal, b"q")

    status, seen = cli.terminal("replay", "nightly-1", "--by", "occurred", columns=100, react=react)
    assert (status, pressed[-1]) == (0, b"q")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert "nightly-1  ● running" in plain
    assert "space pause" in plain
    assert max(map(len, plain.splitlines())) <= 100


def test_windows_are_whole_hours() -> None:
    now = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)

    def bounds(*given: Any) -> tuple[datetime, datetime]:
        return make_window(*given, "day", None, now)[:2]

    nine = datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert bounds("1h", None) == (nine - timedelta(hours=2), nine)
    assert bounds("2d", "2026-01-31T09:00Z") == (nine - timedelta(days=2), nine)
    assert bounds("2026-01-30T09:10Z", "2026-01-31T08:00:01Z") == (nine - timedelta(days=1), nine)
    with pytest.raises(UsageProblem, match="--until"):
        bounds("2026-02-01", None)
    with pytest.raises(InvalidInput, match="--since"):
        bounds("7 days", None)
