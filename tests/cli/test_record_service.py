"""`record --url`: what holds for a database holds over a service, which may go away and come back meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from execution_ledger.infrastructure import Settings
from support.forked import PIPE, Process
from support.http_service import running
from support.service_process import process

from .conftest import Cli
from .test_reap import reaped, until

_URL = "EXECUTION_LEDGER_URL"
TALKING = ("sh", "-c", "echo before; read line; seq 2000; echo $line; read line; echo $line")
"""A command that says much after its first line of input, and ends at its second."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def serve(cli: Cli, port: int) -> AbstractContextManager[tuple[Process, str]]:
    """The service as a process that can be killed, always at the same address."""
    settings = {"EXECUTION_LEDGER_PORT": str(port), "EXECUTION_LEDGER_REAP_INTERVAL": "0.2"}
    cli.env[_URL] = f"http://127.0.0.1:{port}"
    return process(cli.url, **settings)


@contextmanager
def recording(cli: Cli, *arguments: str) -> Iterator[Process]:
    """`record` of the command that talks, once it has said its first word."""
    started = cli.start("record", "--job-id", "j", *arguments, "--", *TALKING, stdin=PIPE)
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == b"before\n"
        yield started
    finally:
        started.kill()


def tell(started: Process, text: bytes) -> None:
    assert started.stdin is not None
    started.stdin.write(text + b"\n")
    started.stdin.flush()


def read_until(started: Process, last: bytes) -> None:
    assert started.stdout is not None
    while started.stdout.readline() != last:
        assert started.poll() is None


def check_order(cli: Cli) -> list[str]:
    """The names of the events; nothing is missing, nothing is there twice."""
    events = cli.events()
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    keys = [event.command_id for event in events if event.command_id]
    assert len(keys) == len(set(keys))
    assert events[2:] == sorted(events[2:], key=lambda event: event.at)
    return [event.name for event in events]


def test_a_service_that_is_killed_and_comes_back_is_told_everything_once(cli_on_both: Cli) -> None:
    cli, port = cli_on_both, free_port()
    with serve(cli, port) as (service, _), recording(cli) as started:
        until(lambda: cli.output("stdout") == "before\n")
        service.kill()
        service.wait()
        tell(started, b"while it is away")
        read_until(started, b"while it is away\n")
        with serve(cli, port):
            until(lambda: cli.output("stdout").endswith("while it is away\n"))
            assert cli.only().status == "running"
            out, err = started.communicate(b"and back\n", timeout=60)
    assert (out, started.returncode) == (b"and back\n", 0), err
    assert b"warning" not in err
    lines = ["before", *(str(n) for n in range(1, 2001)), "while it is away", "and back"]
    assert cli.output("stdout").splitlines() == lines
    assert cli.only().status == "completed"
    names = check_order(cli)
    assert names[:2] == ["created", "started"]
    assert names[-1] == "completed"


def test_a_service_that_is_killed_over_and_over_loses_nothing(cli_on_both: Cli) -> None:
    cli, port = cli_on_both, free_port()
    code = "import sys, time\nfor n in range(300): print(n, flush=True); time.sleep(0.02)\nsys.exit(3)"
    with serve(cli, port) as (service, _):
        started = cli.start("record", "-q", "--job-id", "j", "--", "python3", "-c", code)
        until(lambda: bool(cli.output("stdout")))
        service.kill()
    for _ in range(2):
        with serve(cli, port) as (service, _):
            size = len(cli.events())
            until(lambda size=size: len(cli.events()) > size or started.poll() is not None)
            service.kill()
    with serve(cli, port):
        _, err = started.communicate(timeout=60)
    assert started.returncode == 3
    # It may have been about to give its lease back when the service was killed.
    assert not err or re.fullmatch(rb"the lease on 'j' was not released, and will expire: .*\n", err)
    assert cli.output("stdout").split() == [str(n) for n in range(300)]
    assert cli.only().status == "failed"
    check_order(cli)


def test_a_run_that_is_reaped_while_its_service_cannot_be_reached_tells_its_outcome_late(cli_on_both: Cli) -> None:
    cli, port = cli_on_both, free_port()
    cli.env["EXECUTION_LEDGER_LEASE_TTL"] = "1"
    with serve(cli, port) as (service, _), recording(cli) as started:
        service.kill()
        service.wait()
        reaped(cli)
        with serve(cli, port):
            tell(started, b"go on")
            _, err = started.communicate(b"end\n", timeout=60)
    assert started.returncode == 0
    assert b"warning: j was failed already; the outcome is kept as its late outcome." in err
    run = cli.only()
    assert run.status == "failed"
    assert run.late_outcome is not None
    assert run.late_outcome["status"] == "completed"
    assert cli.output("stdout").endswith("go on\nend\n")


def test_a_service_that_does_not_come_back_is_told_of(cli_on_both: Cli) -> None:
    cli, port = cli_on_both, free_port()
    with serve(cli, port) as (service, _), recording(cli, "--ledger-wait", "0.5") as started:
        service.kill()
        tell(started, b"go on")
        _, err = started.communicate(b"end\n", timeout=60)
    assert started.returncode == 125
    warning = err.decode().splitlines()[-1]
    assert warning.startswith("warning: the ledger could not be reached: ")
    assert f"of j, its outcome among them, are not recorded. 127.0.0.1:{port} does not answer: " in warning


def test_a_service_that_hangs_does_not_hold_the_command_up(cli_on_both: Cli) -> None:
    cli, port = cli_on_both, free_port()
    with serve(cli, port) as (service, _), recording(cli, "--ledger-wait", "0.5") as started:
        service.send_signal(signal.SIGSTOP)
        tell(started, b"go on")
        out, err = started.communicate(b"end\n", timeout=30)
        assert out.endswith(b"end\n")
        assert b"the ledger could not be reached" in err
        assert started.returncode == 125


def test_without_a_service_nothing_is_run(cli: Cli) -> None:
    cli.env[_URL] = f"http://127.0.0.1:{free_port()}"
    [line] = cli.text("record", "--", "touch", "made", status=125).splitlines()
    assert re.match(r"error: 127\.0\.0\.1:\d+ does not answer: ", line)
    assert line.endswith("(nothing was run)")
    assert list(cli.folder.iterdir()) == []


def test_what_the_ledger_cannot_take_is_refused_in_the_same_words(cli_anywhere: Cli) -> None:
    for option, value, words in (
        ("--job-id", "x" * 256, "job_id: has 256 characters"),
        ("--name", os.fsdecode(b"\xff"), "run_name: holds a lone surrogate"),
        ("--reason", os.fsdecode(b"\xff"), "reason: holds a lone surrogate"),
        ("--step", "x" * 256, "step_id: has 256 characters"),
    ):
        [line] = cli_anywhere.text("record", option, value, "--", "touch", "made", status=125).splitlines()
        assert line.startswith(f"error: {words}")
        assert line.endswith("(nothing was run)")
    assert cli_anywhere.executions() == []


def test_whoever_has_a_key_is_recorded_by_its_name(cli_on_both: Cli) -> None:
    cli = cli_on_both
    cli.env["EXECUTION_LEDGER_ACTOR"] = ""

    def key(name: str, scope: str) -> str:
        return json.loads(cli.text("keys", "create", name, "--scope", scope, "--json"))["secret"]

    def record(secret: str, *arguments: str) -> Any:
        known = {"EXECUTION_LEDGER_KEY": secret, _URL: address}
        return cli.run("record", *arguments, "--", "true", **known)

    writer, reader = key("ci", "write"), key("reader", "read")
    with running(Settings(database_url=cli.url, actor=None, auth=True)) as address:
        assert record(writer).returncode == 0
        refused = record(reader)
        assert (refused.returncode, refused.stderr.count(b"\n")) == (125, 1)
        assert refused.stderr.startswith(b"error: This needs the scope 'write'.")
        other = record(writer, "--actor", "eve")
        assert (other.returncode, other.stderr.count(b"\n")) == (125, 1)
        assert other.stderr.startswith(b"error: The actor is whose key or token it is.")
    assert {event.actor for event in cli.events()} == {"ci"}
    assert len(cli.executions()) == 1


def test_a_record_inside_another_one_asks_the_same_service(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    inner = f"{sys.executable} -m execution_ledger.api.cli record -q --job-id inner -- sh -c 'echo ${{{_URL}:-none}}'"
    own = cli.env.pop(_URL, None)
    cli.env[_URL] = "http://elsewhere"  # an option comes before it
    option = ["--database", cli.url] if own is None else ["--url", own]
    ran = cli.run("record", "-q", *option, "--job-id", "outer", "--", "sh", "-c", inner)
    assert (ran.returncode, ran.stdout.decode()) == (0, f"{own or 'none'}\n")
    outer, nested = cli.executions()
    assert (outer.job_id, nested.job_id, nested.parent_job_id) == ("outer", "inner", "outer")
