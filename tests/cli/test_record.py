"""`execution-ledger record` runs any command as it would run without, and the ledger knows what happened."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from execution_ledger.api.recording.writer import LedgerWriter
from execution_ledger.infrastructure import ExecutionHistory
from execution_ledger.projections import ReplayQueries

from .conftest import Cli


def py(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def result(run: ExecutionHistory) -> dict[str, object]:
    assert run.result is not None
    return run.result


def test_a_command_is_created_started_noted_and_completed(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    ran = cli.run(
        *("record", "--name", "nightly", "--job-id", "n-1", "--attempt", "2", "--reason", "by hand"),
        *("--input", "day=monday", "--attribute", "team=blue", "--parent", "week-7"),
        *("--", "sh", "-c", "echo out; echo err >&2"),
    )
    assert (ran.returncode, ran.stdout) == (0, b"out\n")
    assert ran.stderr.decode().splitlines()[1] == "err"
    run = cli.only()
    assert (run.job_id, run.run_name, run.status, run.attempt) == ("n-1", "nightly", "completed", 2)
    assert (run.parent_job_id, run.attributes) == ("week-7", {"team": "blue"})
    assert run.inputs is not None
    assert run.inputs["day"] == "monday"
    assert run.inputs["argv"] == ["sh", "-c", "echo out; echo err >&2"]
    assert run.inputs["cwd"] == str(cli.folder)
    assert run.inputs["host"]
    assert (result(run)["exit_code"], result(run)["stdout_bytes"], result(run)["stderr_bytes"]) == (0, 4, 4)
    events = cli.events()
    assert [event.name for event in events] == ["created", "started", "noted", "noted", "completed"]
    assert {event.actor for event in events} == {"ada"}
    assert events[0].reason == "by hand"
    assert (cli.output("stdout"), cli.output("stderr")) == ("out\n", "err\n")


def test_a_failure_keeps_the_exit_status_and_the_last_lines_of_the_error_stream(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    ran = cli.run("record", "-q", "--", *py("import sys; print(*range(9), sep='\\n', file=sys.stderr); sys.exit(7)"))
    assert ran.returncode == 7
    assert ran.stderr.decode().split() == [str(n) for n in range(9)]  # --quiet: nothing of ours
    run = cli.only()
    assert (run.status, run.error) == ("failed", "exit status 7\n4\n5\n6\n7\n8")
    assert result(run)["exit_code"] == 7
    assert run.completed_at is not None


def test_a_command_that_a_signal_ended_has_failed(cli: Cli) -> None:
    assert cli.run("record", "--", "sh", "-c", "kill -KILL $$").returncode == 128 + 9
    assert (cli.only().status, cli.only().error) == ("failed", "ended by SIGKILL")


@pytest.mark.parametrize(
    ("command", "status", "error"),
    [
        ("no-such-program", 127, "command not found: no-such-program"),
        ("./missing", 127, "cannot run ./missing: no such file"),
        ("./plain", 126, "cannot run ./plain: permission denied"),
        ("./orphan", 127, "cannot run ./orphan: its interpreter is missing"),
    ],
)
def test_a_command_that_cannot_run_has_failed_as_a_shell_tells_it(
    cli: Cli, command: str, status: int, error: str
) -> None:
    (cli.folder / "plain").write_text("hello")
    (cli.folder / "orphan").write_text("#!/no/such/interpreter\n")
    (cli.folder / "orphan").chmod(0o755)
    ran = cli.run("record", "--", command)
    assert ran.returncode == status
    assert error in ran.stderr.decode().splitlines()[1]
    assert (cli.only().status, cli.only().error) == ("failed", error)


def test_the_command_reads_our_input(cli: Cli) -> None:
    ran = cli.run("record", "--", "cat", input=b"hello\n")
    assert ran.stdout == b"hello\n"
    assert cli.output("stdout") == "hello\n"


def test_without_output_there_are_no_notes(cli: Cli) -> None:
    assert cli.run("record", "true").stdout == b""
    assert [event.name for event in cli.events()] == ["created", "started", "completed"]


def test_steps_are_recorded_with_their_outcomes_and_their_progress(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    show = py("import os; print(os.environ['EXECUTION_LEDGER_STEP_ID'])")
    ran = cli.run("record", "--name", "etl", "--step", "extract", "--", *show, "--step=load", "--", *show)
    assert ran.returncode == 0
    run = cli.only()
    assert (run.status, run.progress, run.message) == ("completed", 1.0, "2 of 2 steps done")
    names = ["created", "started", "step_started", "noted", "step_finished", "progressed"]
    names += ["step_started", "noted", "step_finished", "completed"]
    events = cli.events()
    assert [event.name for event in events] == names
    notes = [event.data or {} for event in events if event.name == "noted"]
    assert [(note["step_id"], note["text"]) for note in notes] == [("extract", "extract\n"), ("load", "load\n")]
    outcomes = [event.data or {} for event in events if event.name == "step_finished"]
    assert [(each["step_id"], each["outcome"]) for each in outcomes] == [
        ("extract", "completed"),
        ("load", "completed"),
    ]
    assert events == sorted(events, key=lambda event: event.at)


def test_the_first_step_that_fails_fails_the_run_and_later_ones_are_not_started(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    bad = ["sh", "-c", "echo broken >&2; exit 3"]
    ran = cli.run(
        "record",
        "--step",
        "one",
        "--",
        "true",
        "--step",
        "two",
        "--",
        *bad,
        *["--step", "three", "--", "touch", "made"],
    )
    assert ran.returncode == 3
    assert not (cli.folder / "made").exists()
    run = cli.only()
    assert (run.status, run.error) == ("failed", "step two: exit status 3\nbroken")
    assert run.run_name == "one + two + three"
    notes = [event.data or {} for event in cli.events() if event.name == "noted"]
    assert notes[-1]["text"] == "Not started, since the run had failed: three"
    timeline = cli.ask(lambda queries, _: ReplayQueries(queries.session).timeline(run.job_id))
    assert timeline is not None
    assert [(step.name, step.outcome) for step in timeline.steps] == [("one", "completed"), ("two", "failed")]


def test_a_record_inside_a_step_knows_the_run_and_the_step_it_is_part_of(cli: Cli) -> None:
    cli.url = "sqlite:///ledger.db"  # found from another folder as well
    (cli.folder / "elsewhere").mkdir()
    inner = f"cd elsewhere && {sys.executable} -m execution_ledger.api.cli record --job-id inner -- echo deep"
    ran = cli.run("record", "--job-id", "outer", "--step", "nest", "--", "sh", "-c", inner)
    assert (ran.returncode, ran.stdout) == (0, b"deep\n")
    cli.url = f"sqlite:///{cli.folder}/ledger.db"
    outer, nested = cli.executions()
    assert (outer.job_id, nested.job_id, nested.parent_job_id) == ("outer", "inner", "outer")
    assert nested.attributes == {"parent_step_id": "nest"}
    assert outer.parent_job_id is None


def test_a_command_can_report_its_progress_through_the_library(cli: Cli) -> None:
    code = """
import asyncio, os
from execution_ledger.infrastructure import ExecutionRepository, create_engine
from sqlalchemy.ext.asyncio import AsyncSession
async def main():
    async with AsyncSession(create_engine(os.environ["EXECUTION_LEDGER_DATABASE_URL"])) as session:
        runs = ExecutionRepository(session, actor="the job")
        await runs.update_execution(os.environ["EXECUTION_LEDGER_JOB_ID"], {"progress": 0.5})
asyncio.run(main())
"""
    assert cli.run("record", "--", *py(code)).returncode == 0
    events = cli.events()
    assert [(event.name, event.actor) for event in events][2] == ("progressed", "the job")
    assert (cli.only().status, cli.only().progress) == ("completed", 0.5)


END_IT = """
import asyncio, os
from execution_ledger.infrastructure import ExecutionRepository, create_engine
from sqlalchemy.ext.asyncio import AsyncSession
async def main():
    async with AsyncSession(create_engine(os.environ["EXECUTION_LEDGER_DATABASE_URL"])) as session:
        runs = ExecutionRepository(session)
        await runs.update_execution(os.environ["EXECUTION_LEDGER_JOB_ID"], {"status": "stopped"})
asyncio.run(main())
"""


def test_an_end_that_somebody_else_recorded_stays_and_the_outcome_is_kept_beside_it(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    ran = cli.run("record", "--job-id", "j", "--", *py(END_IT + "print('still here')"))
    assert ran.returncode == 0
    assert "warning: j was stopped already; the outcome is kept as its late outcome." in ran.stderr.decode()
    run = cli.only()
    assert run.status == "stopped"
    assert run.late_outcome is not None
    assert (run.late_outcome["status"], run.late_outcome["result"]["exit_code"]) == ("completed", 0)
    assert cli.output("stdout") == "still here\n"


def test_steps_of_a_run_that_somebody_else_ended_are_noted_on_the_run(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    steps = ["--step", "a", "--", *py(END_IT + "print('from a')"), "--step", "b", "--", "echo", "from b"]
    ran = cli.run("record", "--job-id", "j", *steps)
    assert ran.returncode == 0, ran.stderr
    assert "kept as its late outcome" in ran.stderr.decode()
    run = cli.only()
    assert run.status == "stopped"
    assert run.late_outcome is not None
    assert run.late_outcome["status"] == "completed"
    assert cli.output("stdout") == "from a\nfrom b\n"


def test_a_step_without_its_dashes_is_refused_before_anything_runs(cli: Cli) -> None:
    ran = cli.run("record", "--step", "a", "--", "true", "--step", "b", "true")
    assert ran.returncode == 2
    assert b"--step" in ran.stderr
    assert list(cli.folder.iterdir()) == []


def test_nothing_of_the_output_is_kept_where_none_is_to_be_kept(cli: Cli) -> None:
    assert cli.run("record", "--max-output", "0", "--", "sh", "-c", "echo secret >&2; exit 3").returncode == 3
    assert "secret" not in str(cli.only().error)


def test_eight_first_records_at_once_on_a_file_that_does_not_exist(cli: Cli) -> None:
    started = [cli.start("record", "--job-id", f"j{n}", "--", "echo", str(n)) for n in range(8)]
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * 8, ended
    assert sorted(run.job_id for run in cli.executions()) == [f"j{n}" for n in range(8)]
    assert {run.status for run in cli.executions()} == {"completed"}


def test_a_taken_job_id_is_refused_and_nothing_is_run(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    assert cli.run("record", "--job-id", "j", "--", "true").returncode == 0
    again = cli.run("record", "--job-id", "j", "--", "touch", "made")
    assert again.returncode == 125
    assert again.stderr.decode().startswith("error: job_id 'j' is taken in ledger 'default'.")
    assert len(again.stderr.splitlines()) == 1
    assert not (cli.folder / "made").exists()
    assert len(cli.executions()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["record"], "COMMAND: there is no command"),
        (["record", "--step", "a", "--"], "--step a: there is no command"),
        (["record", "--step", "a", "--", "true", "--step", "b", "--"], "--step b: there is no command"),
        (["record", "--step", "a", "--step", "b", "--", "true"], "--step: 'a' has no command"),
        (["record", "--step", "a", "--", "true", "--step", "a", "--", "true"], "--step: 'a' is given twice"),
        (["record", "--input", "x", "--", "true"], "--input: 'x' is not KEY=VALUE"),
        (["record", "--input", "argv=x", "--", "true"], "--input: 'argv' is recorded by itself"),
        (["record", "--attribute", "a=1", "--attribute", "a=2", "--", "true"], "--attribute: 'a' is given twice"),
        (["record", "--max-output", "lots", "--", "true"], "--max-output: 'lots' is not a size"),
        (["record", "--attempt", "0", "--", "true"], "--attempt"),
        (["--ledger", "", "record", "--", "true"], "--ledger: "),
    ],
)
def test_wrong_usage_is_told_in_one_line(cli: Cli, arguments: list[str], words: str) -> None:
    [line] = cli.text(*arguments, status=2).splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert not (cli.folder / "ledger.db").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--job-id", "x" * 256], "job_id: has 256 characters"),
        (["--name", os.fsdecode(b"\xff")], "run_name: holds a lone surrogate"),
        (["--step", "x" * 256], "step_id: has 256 characters"),
        (["--database", "sqlite:///no/such/folder/x.db"], "--database: there is no folder"),
        (["--database", "mysql://x/y"], "--database: mysql is not supported"),
        (["--database", "nonsense"], "--database: is not a database URL"),
        (["--database", "postgresql://127.0.0.1:1/x"], "The database did not answer"),
        (["--database", f"sqlite:///{'x' * 300}/x.db"], f"{'x' * 300}: File name too long. Name a place"),
    ],
)
def test_what_the_ledger_cannot_take_is_refused_before_anything_runs(
    cli: Cli, arguments: list[str], words: str
) -> None:
    [line] = cli.text("record", *arguments, "--", "touch", "made", status=125).splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert line.endswith("(nothing was run)")
    assert not (cli.folder / "made").exists()


def test_the_parent_may_be_named_by_its_number(cli: Cli) -> None:
    assert cli.run("record", "--job-id", "outer", "--", "true").returncode == 0
    assert cli.run("record", "--job-id", "inner", "--parent", "1", "--", "true").returncode == 0
    assert cli.run("record", "--job-id", "ticket", "--parent", "4711", "--", "true").returncode == 0
    parents = {run.job_id: run.parent_job_id for run in cli.executions()}
    assert parents == {"outer": None, "inner": "outer", "ticket": "4711"}
    assert cli.text("history", "--parent", "1") == cli.text("history", "--parent", "outer")
    assert "inner" in cli.text("history", "--parent", "1")


def test_a_run_that_was_begun_is_not_said_to_be_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise LookupError("no more")

    monkeypatch.setattr(LedgerWriter, "close", fail)
    lines = cli.text("record", "-q", "--job-id", "j", "--", "touch", "made", status=125).splitlines()
    assert lines[-1].startswith("error: Run j was begun, but not recorded to its end: LookupError: no more. This is a")
    assert (cli.folder / "made").exists()


def test_a_server_is_never_migrated_without_being_asked(cli_on_postgres: Cli, postgres_server: object) -> None:
    cli = cli_on_postgres
    empty = postgres_server.create_database()  # type: ignore[attr-defined]
    try:
        ran = cli.run("--database", empty, "record", "--", "touch", "made")
        assert ran.returncode == 125
        assert "Run `execution-ledger migrate`" in ran.stderr.decode()
        assert not (cli.folder / "made").exists()
        assert "Run `execution-ledger migrate`" in cli.text("history", "--database", empty, status=3)
        assert cli.text("migrate", "--database", empty).startswith("The database has the schema of this version")
        assert cli.run("--database", empty, "record", "--", "true").returncode == 0
    finally:
        postgres_server.drop_database(empty)  # type: ignore[attr-defined]


def test_a_reader_that_goes_away_ends_the_command_as_in_any_pipe_line(cli: Cli) -> None:
    process = cli.start("record", "--", "yes", stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    process.wait(30)
    assert process.returncode == 128 + 13
    assert (cli.only().status, cli.only().error) == ("failed", "ended by SIGPIPE")


def test_a_process_left_behind_does_not_hold_us_up(cli: Cli) -> None:
    process = cli.start("record", "--", "sh", "-c", "sleep 50 & echo $!", stderr=subprocess.DEVNULL)
    output, _ = process.communicate(timeout=20)
    os.kill(int(output), 9)
    assert process.returncode == 0
    notes = [event.data or {} for event in cli.events() if event.name == "noted"]
    assert "left behind still holds its output" in notes[-1]["text"]
    assert result(cli.only())["duration_seconds"] < 1  # type: ignore[operator]
