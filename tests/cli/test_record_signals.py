"""Signals reach the command, and what they did is recorded: cancelled, never half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from execution_ledger.domain import Tree
from execution_ledger.projections import ReplayQueries
from support.forked import COMMAND, Process

from .conftest import Cli

# Says when it is ready, so that nobody has to guess; `{}` is what it does on a signal. It writes past the buffer of
# `print`, which a handler may not enter while it is being flushed.
_WAITING = """
import os, signal, sys, time
count = 0
def got(number, frame):
    global count
    count += 1
    {}
signal.signal(signal.SIGINT, got)
signal.signal(signal.SIGTERM, got)
os.write(1, b"ready\\n")
while True:
    time.sleep(0.01)
"""


def waiting(action: str) -> list[str]:
    return [sys.executable, "-c", _WAITING.format(action)]


def start(cli: Cli, *arguments: str) -> Process:
    process = cli.start("record", *arguments, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_the_command_with_its_children_and_is_recorded_as_cancelled(cli: Cli, name: str) -> None:
    number = signal.Signals[name]
    process = start(cli, "--", "sh", "-c", "sleep 60 & echo $! > child; echo ready; wait")
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number
    run = cli.only()
    assert (run.status, run.stop_reason, run.stop_requested_by) == ("cancelled", name, "ada")
    assert run.error is None
    assert cli.events()[-1].reason == f"signal {name}"
    child = int((cli.folder / "child").read_text())
    with pytest.raises(ProcessLookupError):
        _wait_for_end(child)


def _wait_for_end(pid: int) -> None:
    """Raise once there is no such process; init may need a moment to reap it."""
    for _ in range(500):
        os.kill(pid, 0)
        time.sleep(0.01)


def test_a_command_may_end_in_its_own_way_and_its_exit_status_counts(cli: Cli) -> None:
    process = start(cli, "--", *waiting("print('tidied'); sys.exit(5)"))
    process.terminate()
    assert process.communicate(timeout=30)[0] == b"tidied\n"
    assert process.returncode == 5
    run = cli.only()
    assert run.status == "cancelled"
    assert run.result is not None
    assert run.result["exit_code"] == 5
    assert cli.output("stdout") == "ready\ntidied\n"


def test_a_command_that_does_not_listen_is_killed_after_the_grace_time(cli: Cli) -> None:
    process = start(cli, "--grace", "0.2", "--", *waiting(r"os.write(1, b'no\n')"))
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == b"no\n"
    assert process.returncode == 128 + signal.SIGKILL
    assert cli.only().status == "cancelled"


def test_the_third_signal_kills(cli: Cli) -> None:
    process = start(cli, "--", *waiting(r"os.write(1, b'no\n')"))
    assert process.stdout is not None
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"no\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL


def test_after_a_signal_no_further_step_is_started(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    process = start(cli, "--step", "a", "--", *waiting("sys.exit(0)"), "--step", "b", "--", "touch", "made")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0  # the command's own
    assert not (cli.folder / "made").exists()
    run = cli.only()
    assert run.status == "cancelled"
    timeline = cli.ask(lambda queries, _: ReplayQueries(queries.session).timeline(run.job_id))
    assert timeline is not None
    assert [(step.name, step.outcome) for step in timeline.steps] == [("a", "cancelled")]
    notes = [event.data or {} for event in cli.events() if event.name == "noted"]
    assert notes[-1]["text"] == "Not started, since the run was cancelled: b"


def test_a_signal_that_we_were_started_to_ignore_stays_ignored(cli: Cli) -> None:
    command = " ".join([*COMMAND, "record", "--", "sh", "-c"])
    script = f"trap '' INT; exec {command} 'echo ready; read line; echo \"$line\"'"
    process = subprocess.Popen(
        ["sh", "-c", script],
        cwd=cli.folder,
        env=cli.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(b"still here\n", timeout=30)[0] == b"still here\n"
    assert process.returncode == 0
    assert cli.only().status == "completed"


def test_ctrl_c_at_a_terminal_reaches_the_command_once(cli: Cli) -> None:
    pressed = False

    def press(seen: bytes, terminal: int) -> None:
        nonlocal pressed
        if b"ready" in seen and not pressed:
            pressed = True
            os.write(terminal, b"\x03")

    action = "time.sleep(0.3); print('signals', count); sys.exit(4)"
    status, seen = cli.terminal("record", "--", *waiting(action), react=press)
    assert status == 4
    assert "signals 1\n" in seen
    assert (cli.only().status, cli.only().stop_reason) == ("cancelled", "SIGINT")


@pytest.mark.parametrize("question", ["echo name?; read name", "exec 0<&-; echo name? >/dev/tty; read name </dev/tty"])
def test_a_command_at_a_terminal_reads_the_keyboard(cli: Cli, question: str) -> None:
    pressed = False

    def press(seen: bytes, terminal: int) -> None:
        nonlocal pressed
        if b"name?" in seen and not pressed:
            pressed = True
            os.write(terminal, b"Ada\n")

    status, seen = cli.terminal("record", "--", "sh", "-c", f"{question}; echo hello $name", react=press)
    assert status == 0
    assert "hello Ada\n" in seen
    assert cli.only().status == "completed"


def test_killing_record_leaves_nothing_half_written(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    process = start(cli, "--max-output", "1G", "--", "sh", "-c", "echo ready; yes 'another line'")
    assert process.stdout is not None
    for _ in range(100_000):  # far more than one note
        process.stdout.readline()
    process.kill()
    process.communicate()
    size, root = cli.ask(lambda queries, _: _size_and_root(queries))
    events = cli.events()
    assert [event.position for event in events] == list(range(1, size + 1))
    assert [event.version for event in events] == list(range(1, size + 1))
    run = cli.only()
    assert (run.status, run.version) == ("running", size)
    tree = Tree()
    tree.extend(cli.leaves())
    assert tree.root == root
    assert cli.run("record", "--", "true").returncode == 0
    assert [each.status for each in cli.executions()] == ["running", "completed"]


async def _size_and_root(queries: object) -> tuple[int, bytes]:
    summary = await queries.summary()  # type: ignore[attr-defined]
    return summary.size, (await queries.root()).root  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_command_runs_leaves_no_run_behind_as_running(cli: Cli, number: int) -> None:
    # The signal comes from within, at the one moment that matters: the run is recorded, the command not yet started.
    code = f"""
import os, sys
from execution_ledger.api.recording import run as recording
begin = recording.begin
async def begin_and_be_told(*arguments):
    job_id = await begin(*arguments)
    os.kill(os.getpid(), {int(number)})
    return job_id
recording.begin = begin_and_be_told
from execution_ledger.api.cli import run
sys.exit(run(["record", "--", "sleep", "60"]))
"""
    environment = cli.environment()
    ran = subprocess.run([sys.executable, "-c", code], env=environment, cwd=cli.folder, capture_output=True, timeout=60)
    assert ran.returncode == 128 + number, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert cli.only().status == "cancelled"
