"""Runs whose `record` is gone are ended by a reaper; one that was merely stalled keeps what it has to tell."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from execution_ledger.infrastructure import ExecutionRepository
from execution_ledger.infrastructure.tables import execution_leases
from execution_ledger.projections import LedgerQueries, ReplayQueries
from support.forked import PIPE, Process
from support.suspending import suspend

from .conftest import Cli

WAITING = ("--", "sh", "-c", "echo ready; read line; echo $line")


def start(cli: Cli, *arguments: str, ttl: float = 1) -> Process:
    cli.env["EXECUTION_LEDGER_LEASE_TTL"] = str(ttl)
    process = cli.start("record", *arguments, *WAITING, stdin=PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def leases(cli: Cli) -> list[Any]:
    async def ask(queries: LedgerQueries, _: ExecutionRepository) -> list[Any]:
        return list((await queries.session.execute(select(execution_leases))).all())

    return cli.ask(ask)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def reaped(cli: Cli) -> str:
    """What the first reaper says that finds something."""
    said = ""

    def reap() -> bool:
        nonlocal said
        said = cli.text("reap", "--database", cli.url)
        return said != "No run's lease has expired.\n"

    until(reap)
    return said


def test_a_run_is_leased_while_its_command_runs_and_not_after(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    process = start(cli, "--job-id", "j", ttl=0.5)
    (lease,) = leases(cli)
    assert lease.holder.startswith(f"record {process.pid} on ")
    until(lambda: leases(cli)[0].expires_at > lease.expires_at)  # renewed
    assert cli.text("reap", "--database", cli.url) == "No run's lease has expired.\n"
    process.communicate(b"go on\n", timeout=30)
    assert process.returncode == 0
    assert leases(cli) == []
    assert [event.name for event in cli.events() if event.name != "noted"] == ["created", "started", "completed"]


def test_a_run_whose_record_was_killed_is_ended_by_the_reaper(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    process = start(cli, "--job-id", "j")
    process.kill()
    process.communicate()
    said = reaped(cli)
    assert said.startswith(f"✘ failed j · the lease of record {process.pid} on ")
    run = cli.only()
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.startswith(f"The lease of record {process.pid} on ")
    ended = cli.events()[-1]
    assert (ended.name, ended.actor, ended.reason) == ("failed", "ada", "its lease expired")
    assert leases(cli) == []
    assert cli.text("reap", "--database", cli.url) == "No run's lease has expired.\n"


def test_a_record_that_was_merely_stalled_goes_on_where_nobody_noticed(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    process = start(cli, ttl=0.5)
    suspend(process.send_signal, cli.url)
    (lease,) = leases(cli)
    until(lambda: time.time() > lease.expires_at.timestamp())
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(b"go on\n", timeout=30)
    assert process.returncode == 0
    assert b"warning" not in err
    assert cli.only().status == "completed"


@pytest.mark.parametrize("steps", [False, True])
def test_a_record_that_was_reaped_while_it_stalled_tells_its_outcome_late(cli_anywhere: Cli, steps: bool) -> None:
    cli = cli_anywhere
    process = start(cli, "--job-id", "j", *(("--step", "one") if steps else ()))
    if steps:
        until(lambda: "step_started" in [event.name for event in cli.events()])
    suspend(process.send_signal, cli.url)
    reaped(cli)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(b"go on\n", timeout=30)
    assert (out, process.returncode) == (b"go on\n", 0)
    run = cli.only()
    assert (run.status, run.result) == ("failed", None)
    assert run.late_outcome["status"] == "completed"  # type: ignore[index]
    assert run.late_outcome["result"]["exit_code"] == 0  # type: ignore[index]
    said = err.decode()
    assert "warning: j was failed already; the outcome is kept as its late outcome. The lease of record " in said
    assert "refused" not in said
    assert cli.output("stdout") == "ready\ngo on\n", "what it said is kept"
    assert [event.name for event in cli.events()].count("late_outcome") == 1
    if steps:
        timeline = cli.ask(lambda queries, _: ReplayQueries(queries.session).timeline("j"))
        assert timeline is not None
        assert [(step.name, step.outcome) for step in timeline.steps] == [("one", "completed")]


def test_the_reaper_watches_all_ledgers_or_one(cli_on_both: Cli) -> None:
    cli = cli_on_both
    for name in ("blue", "red"):
        process = start(cli, "--job-id", "j", "--ledger", name, ttl=0.5)
        process.kill()
        process.communicate()
    until(lambda: all(time.time() > lease.expires_at.timestamp() for lease in leases(cli)))
    assert cli.text("reap", "--ledger", "green") == "No run's lease has expired.\n"
    said = cli.text("--ledger", "red", "reap")
    assert (said.count("\n"), " j · " in said) == (1, True)
    said = cli.text("reap", "--actor", "night watch")
    assert " j in ledger blue · " in said
    events = cli.ask(lambda queries, _: LedgerQueries(queries.session, ledger="blue").events(1))
    assert (events[0].name, events[0].actor) == ("failed", "night watch")


def test_the_reaper_goes_on_with_watch(cli_on_both: Cli) -> None:
    cli = cli_on_both
    cli.env["EXECUTION_LEDGER_REAP_INTERVAL"] = "0.1"
    for number in range(2):
        process = start(cli, "--job-id", f"{number}", ttl=0.5)
        process.kill()
        process.communicate()
        if not number:
            watch = cli.start("reap", "--watch")
        assert watch.stdout is not None
        assert watch.stdout.readline().decode().startswith(f"✘ failed {number} · ")
    watch.send_signal(signal.SIGINT)
    assert watch.wait(30) == 130
    assert watch.communicate() == (b"", b"")


def test_without_a_database_there_is_nothing_to_reap(cli: Cli) -> None:
    ended, _, err = cli.call("reap")
    assert ended == 3
    assert "Nothing is recorded yet" in err
