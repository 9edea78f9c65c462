"""Programs that record themselves, in a database and at a service."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from execution_ledger.api.instrument import Ledger, NotesHandler, current_run, step
from execution_ledger.domain import StoreUnavailable
from support import Database
from support.looking import Look


def test_a_function_is_a_run_with_its_arguments_and_what_it_returned(ledger: Ledger, look: Look) -> None:
    @ledger.recorded
    def add(one: int, other: Any, *, by: str = "hand") -> int:
        """Adds."""
        return one + len(str(other))

    assert add(1, {1, 2}.__class__) == 1 + len("<class 'set'>")
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    (run,) = look.runs()
    assert run.run_name is not None
    assert run.run_name.endswith("add")
    assert (run.status, run.execution_type, run.result) == ("completed", "function", 14)
    assert run.inputs == {"one": 1, "other": "<class 'set'>"}
    assert run.started_at is not None

    @ledger.recorded(name="quiet", inputs=False, result=False)
    def secret(password: str) -> str:
        return password

    secret("p")
    assert [(each.inputs, each.result) for each in look.runs() if each.run_name == "quiet"] == [(None, None)]


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("not now")


def test_whatever_the_arguments_are_the_function_runs(ledger: Ledger, look: Look) -> None:
    nested: list[Any] = []
    for _ in range(150):
        nested = [nested]
    odd = {
        "text": "a\x00b\ud800",
        "inside": {"deep": ["a\x00b"]},
        "large": 2**70,
        "no number": float("nan"),
        "nested": nested,
        "rows": list(range(20_000)),
        "object": Unspeakable(),
    }

    @ledger.recorded
    def count(**given: Any) -> int:
        return len(given)

    assert count(**odd) == len(odd)
    (run,) = look.runs()
    assert run.inputs is not None
    kept = run.inputs["given"]
    assert len(str(kept)) < 2_000
    for value in odd.values():

        @ledger.recorded(name="one")
        def take(value: Any) -> None:
            """Takes it."""

        take(value)
    kept = [each.inputs["value"] for each in look.runs() if each.run_name == "one" and each.inputs is not None]
    assert kept[0] == "a\u2400b?"
    assert kept[1] == "{'deep': ['a\\x00b']}"
    assert kept[2:4] == [str(2**70), None]
    assert kept[4].startswith("[[[")
    assert kept[5].startswith("[0,1,2")
    assert len(kept[5]) < 1_100
    assert kept[6] == "<Unspeakable, whose repr raises RuntimeError>"


async def test_a_coroutine_is_one_too_and_a_cancellation_is_none_of_its_faults(ledger: Ledger, look: Look) -> None:
    started = asyncio.Event()

    @ledger.recorded
    async def wait(seconds: float) -> str:
        started.set()
        await asyncio.sleep(seconds)
        return "done"

    assert await wait(0) == "done"
    started.clear()
    task = asyncio.create_task(wait(60))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    runs = await asyncio.to_thread(look.runs)
    assert [(run.status, run.result) for run in runs] == [("completed", "done"), ("cancelled", None)]


def test_what_it_raises_fails_it_with_the_traceback_as_a_note(ledger: Ledger, look: Look) -> None:
    @ledger.recorded
    def divide(by: int) -> float:
        if by == 0:
            raise ZeroDivisionError("by \x00 and \ud800" + "x" * 50_000)
        return 1 / by

    with pytest.raises(ZeroDivisionError):
        divide(0)
    (run,) = look.runs()
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.startswith("ZeroDivisionError: by \u2400 and ?xxx")
    assert len(run.error) < 5_000
    (note,) = look.notes(run.job_id)
    assert note.data is not None
    assert (note.data["level"], note.data["source"]) == ("error", "traceback")
    assert note.data["text"].startswith("Traceback")
    assert len(note.data["text"]) < 17_000


def test_runs_and_steps_lie_inside_each_other(ledger: Ledger, look: Look) -> None:
    with ledger.execution("nightly", job_id="n", inputs={"day": 1}, attributes={"team": "x"}, reason="usual") as run:
        assert current_run() is run
        with step("extract", kind="task") as extract:
            run.note("three rows", data={"rows": 3})
            with step("page"):
                pass
            extract.result = 3
        with pytest.raises(ValueError, match="bad"), step("load"):
            raise ValueError("bad")
        with ledger.execution("inner", job_id="i"), step("extract"):
            run.progress(0.5, "half")
        run.result = {"rows": 3}
    assert current_run() is None
    with step("nowhere"):
        pass
    outer, inner = look.runs()
    assert (outer.status, outer.result, outer.progress, outer.message) == ("completed", {"rows": 3}, 0.5, "half")
    assert (inner.parent_job_id, inner.status) == ("n", "completed")
    steps = look.spans("n").steps
    assert [(each.step_id, each.outcome) for each in steps] == [("extract", "completed"), ("load", "failed")]
    assert [each.step_id for each in steps[0].steps] == ["page"]
    assert steps[1].error == "ValueError: bad"
    note, fault = look.notes("n")
    assert note.actor == "ada"
    assert note.data is not None
    assert note.data["step_id"] == "extract"
    assert fault.data is not None
    assert (fault.data["step_id"], fault.data["source"]) == ("load", "traceback")
    assert [each.parent_step_id for each in look.spans("i").steps] == [None]


def test_what_is_logged_inside_a_run_is_a_note_of_it(ledger: Ledger, look: Look) -> None:
    log = logging.getLogger("my.program")
    handler = NotesHandler()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        log.info("outside")
        with ledger.execution("n", job_id="n"):
            log.info("read %d rows", 7)
            log.debug("too much")
            log.error("disk full")
    finally:
        log.removeHandler(handler)
    notes = [event.data or {} for event in look.notes("n")]
    assert [(note["text"], note["level"], note["source"]) for note in notes] == [
        ("read 7 rows", "info", "my.program"),
        ("disk full", "error", "my.program"),
    ]


def test_concurrent_tasks_and_threads_have_runs_of_their_own(ledger: Ledger, look: Look) -> None:
    async def one(number: int) -> None:
        async with ledger.execution("each", job_id=f"job-{number}") as run:
            await asyncio.sleep(0)
            assert current_run() is run
            async with step("s"):
                await asyncio.to_thread(run.note, "from a thread")

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(all_of_them())
    runs = look.runs()
    assert len(runs) == 20
    assert {run.status for run in runs} == {"completed"}
    assert {run.parent_job_id for run in runs} == {None}
    assert look.notes("job-7")[0].data is not None


def test_a_ledger_that_cannot_be_reached_at_the_beginning_runs_nothing() -> None:
    with pytest.raises(StoreUnavailable):
        Ledger("postgresql://nobody@127.0.0.1:1/none")


def test_what_cannot_be_recorded_is_logged_and_the_program_goes_on(
    database: Database, look: Look, caplog: pytest.LogCaptureFixture
) -> None:
    with Ledger(database.url) as ledger:
        with ledger.execution("n", job_id="n") as run:
            run.note("x", level="nonsense")
        assert ledger.outbox.refused == 1
        assert "note of run n was not recorded: level" in caplog.text
    assert [each.status for each in look.runs()] == ["completed"]


def test_forked_processes_go_on_in_the_same_ledger(
    address: str, look: Look, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ran = program(
        """
import multiprocessing
import sys

from execution_ledger.api.instrument import Ledger, step

ledger = Ledger(sys.argv[1])

@ledger.recorded
def work(number):
    with step("s"):
        pass
    return number

def child(number):
    with step(f"of child {number}"), step("same"):
        pass
    work(number)

with ledger.execution("all", job_id="all"):
    work(0)
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=child, args=(number,)) for number in (1, 2, 3)]
    for each in children:
        each.start()
    with step("of the parent"), step("same"):
        pass
    for each in children:
        each.join()
    assert [each.exitcode for each in children] == [0, 0, 0]
work(4)
""",
        address,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    runs = look.runs()
    assert {run.status for run in runs} == {"completed"}
    assert sorted(run.result for run in runs if run.job_id != "all") == [0, 1, 2, 3, 4]
    assert [run.result for run in runs if run.parent_job_id is None] == [None, 4]
    steps = look.spans("all").steps
    told = sorted((each.name, [(inner.name, inner.outcome) for inner in each.steps]) for each in steps)
    names = ["of child 1", "of child 2", "of child 3", "of the parent"]
    assert told == [(name, [("same", "completed")]) for name in names]
