"""Programs that record themselves go on, whatever they do and whatever becomes of the ledger; and no run stays open."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from execution_ledger.api.instrument import Ledger, NotesHandler, Run, current_run, step
from execution_ledger.api.instrument.outbox import Outbox
from execution_ledger.domain import InvalidInput
from execution_ledger.infrastructure import Settings, migrate
from execution_ledger.projections import StepSpan
from support import Database
from support.gates import Gate
from support.http_service import running
from support.looking import Look


@pytest.fixture
def gate(ledger: Ledger) -> Gate:
    """Shut, before what runs have to tell after their beginning."""
    gate = Gate(ledger.backend)
    ledger.outbox = Outbox(gate)
    return gate


@pytest.fixture
def handler() -> Iterator[NotesHandler]:
    handler = NotesHandler()
    logging.getLogger("app").addHandler(handler)
    yield handler
    logging.getLogger("app").removeHandler(handler)


def tree(steps: Sequence[StepSpan]) -> list[Any]:
    return [(each.step_id, each.name, each.outcome, tree(each.steps)) for each in steps]


LOGS = """
import logging, sys

from execution_ledger.api.instrument import Ledger, NotesHandler

ledger = Ledger(sys.argv[1])
logging.basicConfig(level=logging.INFO, filename="log")
logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)
logging.getLogger().addHandler(NotesHandler())
with ledger.execution("outer", job_id="outer"):
    logging.getLogger("my").info("one line")
    with ledger.execution("inner", job_id="inner"):
        pass
ledger.close()
"""


def test_what_the_ledger_causes_to_be_logged_is_no_note(
    address: str, look: Look, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ran = program(LOGS, address)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [(note.data or {})["text"] for note in look.notes("outer")] == ["one line"]
    assert look.notes("inner") == []


def test_a_ledger_that_is_slow_holds_up_nobody_who_logs(
    ledger: Ledger, gate: Gate, look: Look, handler: NotesHandler
) -> None:
    ledger.outbox.capacity = 1
    log = logging.getLogger("app")
    with ledger.execution("n", job_id="n") as run:
        log.warning("first")
        assert gate.came.wait(60)
        log.warning("second")
        third = threading.Thread(target=copy_context().run, args=(log.warning, "third, which waits for room"))
        third.start()
        began = time.monotonic()
        outside = threading.Thread(target=log.warning, args=("outside of any run",))
        outside.start()
        outside.join(60)
        assert time.monotonic() - began < 4, "less than the patience of the one that waits"
        assert third.is_alive()
        gate.open.set()
        third.join(60)
        run.result = "done"
    assert [(note.data or {})["text"][:6] for note in look.notes("n")] == ["first", "second", "third,"]
    assert ledger.outbox.dropped == 0


def test_where_nothing_gets_away_what_has_no_room_is_left_out_but_for_the_end(
    ledger: Ledger, gate: Gate, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execution_ledger.api.instrument.runs.PATIENCE", 0.01)
    ledger.outbox.capacity = 2
    with ledger.execution("n", job_id="n"):
        with step("begun"):
            assert gate.came.wait(60)
            for number in range(5):
                current_run().note(f"note {number}")  # type: ignore[union-attr]
            with step("no room"), step("nor here"):
                pass
        threading.Timer(0.1, gate.open.set).start()
    (run,) = look.runs()
    assert run.status == "completed"
    assert tree(look.spans("n").steps) == [("begun", "begun", "completed", [])]
    assert ledger.outbox.dropped == 5
    assert ledger.outbox.refused == 0


class Opaque:
    """Nothing that JSON knows."""

    def __repr__(self) -> str:
        return "<opaque>"


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00Z"),
        ("a\x00b\ud800", "a\u2400b?"),
        ({"t": "a\x00b"}, "{'t': 'a\\x00b'}"),
        (Opaque(), "<opaque>"),
        (frozenset({1}), [1]),
        ({"rows": list(range(10_000))}, {"rows": list(range(10_000))}),
        (0, 0),
    ],
    ids=["time", "text", "inside", "object", "set", "large", "zero"],
)
def test_whatever_a_run_or_a_step_gave_it_ends(ledger: Ledger, look: Look, result: Any, kept: Any) -> None:
    with ledger.execution("n", job_id="n") as run:
        run.note("n", data={"it": result})
        with step("s", attributes={"it": result}) as inner:
            inner.result = result
        run.result = result
    (ended,) = look.runs()
    assert (ended.status, ended.result) == ("completed", kept)
    assert look.spans("n").steps[0].outcome == "completed"
    assert ledger.outbox.refused == 0


def test_what_is_too_large_is_left_out_of_the_end(ledger: Ledger, look: Look, caplog: pytest.LogCaptureFixture) -> None:
    with ledger.execution("n", job_id="n") as run:
        with step("s") as inner:
            inner.result = "x" * 9_000_000
        run.result = ["x" * 8_388_600]
    assert [(each.status, each.result) for each in look.runs()] == [("completed", None)]
    assert tree(look.spans("n").steps) == [("s", "s", "completed", [])]
    assert caplog.text.count("The result of run n was not recorded: ") == 2


def test_no_word_of_a_program_breaks_it(ledger: Ledger, look: Look, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not now")

    anything: Any = Opaque()

    def work(run: Run) -> None:
        run.note(anything)
        run.note("")
        run.note("leveled", level=anything)
        run.note("sourced", source="x\x00" * 200)
        run.progress(anything)
        run.progress(0.5, anything)
        with step("", kind=anything), step(anything):
            pass
        with step("x" * 300):
            run.note("inside")
        raise Odd

    with pytest.raises(Odd), ledger.execution("n", job_id="n") as run:
        work(run)
    (ended,) = look.runs()
    assert (ended.status, ended.error, ended.progress, ended.message) == ("failed", "Odd", 0.5, "<opaque>")
    notes = [(note.data or {})["text"] for note in look.notes("n")]
    assert notes[:3] + notes[3:-1] == ["<opaque>", "(nothing)", "sourced", "inside"]
    assert "Odd" in notes[-1]
    assert [each.name for each in look.spans("n").steps][-1].startswith("xxx")
    assert "note of run n was not recorded" in caplog.text


def test_after_the_ledger_is_closed_nothing_is_recorded_and_nothing_breaks(
    address: str, look: Look, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(address)
    with ledger.execution("n", job_id="n") as run:
        run.note("before")
        ledger.close()
        run.note("after")
    assert [run.status for run in look.runs()] == ["running"]
    assert len(look.notes("n")) == 1
    assert "the outbox is closed" in caplog.text
    with pytest.raises(RuntimeError, match="closed"), ledger.execution("another"):
        pass


def test_threads_that_tell_at_once_lose_nothing(ledger: Ledger, look: Look) -> None:
    with ledger.execution("n", job_id="n") as run:

        def tell(thread: int) -> None:
            for number in range(20):
                with step("same"):
                    run.note(f"{thread} {number}")

        threads = [threading.Thread(target=copy_context().run, args=(tell, number)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert len({(note.data or {})["text"] for note in look.notes("n")}) == 160
    steps = look.spans("n").steps
    assert {(each.name, each.outcome) for each in steps} == {("same", "completed")}
    assert {each.step_id for each in steps} == {"same"} | {f"same#{number}" for number in range(2, 161)}


async def test_what_is_cancelled_while_it_begins_is_not_left_running(ledger: Ledger, look: Look) -> None:
    reached = False

    async def work() -> None:
        nonlocal reached
        async with ledger.execution("n", job_id="n"):
            reached = True

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    runs = []
    for _ in range(600):
        runs = await asyncio.to_thread(look.runs)
        if runs and runs[0].status != "running":
            break
        await asyncio.sleep(0.1)
    assert [(run.status, run.stop_reason) for run in runs] == [("cancelled", "CancelledError")]
    assert not reached


def test_what_is_interrupted_while_it_begins_is_not_left_running(
    ledger: Ledger, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ledger.backend.call

    def interrupted(*arguments: Any, **options: Any) -> None:
        call(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger.backend, "call", interrupted)
    with pytest.raises(KeyboardInterrupt), ledger.execution("n", job_id="n"):
        raise AssertionError("it has not begun")
    assert ledger.outbox.flush()
    assert [run.status for run in look.runs()] == ["cancelled"]


async def test_a_run_may_be_left_in_another_context_than_it_was_entered_in(ledger: Ledger, look: Look) -> None:
    async def fixture() -> AsyncIterator[Run]:
        async with ledger.execution("n", job_id="n") as run, step("s"):
            yield run

    each = fixture()
    await asyncio.create_task(anext(each))  # type: ignore[arg-type]
    assert await anext(each, None) is None
    assert [run.status for run in await asyncio.to_thread(look.runs)] == ["completed"]
    assert tree((await asyncio.to_thread(look.spans, "n")).steps) == [("s", "s", "completed", [])]


def test_steps_that_are_called_the_same_are_told_apart(ledger: Ledger, look: Look) -> None:
    def walk(depth: int) -> None:
        with step("walk"):
            if depth:
                walk(depth - 1)

    with ledger.execution("n", job_id="n") as run:
        for attempt in range(3):
            try:
                with step("fetch") as fetch:
                    run.note(f"attempt {attempt}")
                    if attempt < 2:
                        raise ValueError(attempt)
                    fetch.result = attempt
            except ValueError:
                continue
        with step("fetch#4"), step("fetch"):
            pass
        walk(2)
    assert tree(look.spans("n").steps) == [
        ("fetch", "fetch", "failed", []),
        ("fetch#2", "fetch", "failed", []),
        ("fetch#3", "fetch", "completed", []),
        ("fetch#4", "fetch#4", "completed", [("fetch#5", "fetch", "completed", [])]),
        ("walk", "walk", "completed", [("walk#2", "walk", "completed", [("walk#3", "walk", "completed", [])])]),
    ]
    notes = [(note.data or {}) for note in look.notes("n") if "source" not in (note.data or {})]
    assert [note["step_id"] for note in notes] == ["fetch", "fetch#2", "fetch#3"]
    assert ledger.outbox.refused == 0


def test_a_traceback_is_kept_once_and_of_steps_too(ledger: Ledger, look: Look) -> None:
    with (
        pytest.raises(ValueError, match="boom"),
        ledger.execution("outer", job_id="outer"),
        ledger.execution("inner", job_id="inner"),
        step("one"),
        step("two"),
    ):
        raise ValueError("boom")
    for job_id, step_id in (("inner", "two"), ("outer", None)):
        (note,) = look.notes(job_id)
        assert note.data is not None
        assert (note.data["source"], note.data.get("step_id")) == ("traceback", step_id)
        assert note.data["text"].endswith("ValueError: boom\n")


def test_what_does_nothing_when_it_is_called_is_not_recorded_as_a_call(ledger: Ledger) -> None:
    def generate() -> Iterator[int]:
        yield 1

    async def generate_later() -> AsyncIterator[int]:
        yield 1

    class Generating:
        def __call__(self) -> Iterator[int]:
            yield 1

    for function in (generate, generate_later, partial(generate), Generating()):
        with pytest.raises(InvalidInput, match="is a generator"):
            ledger.recorded(function)


async def test_whatever_can_be_called_can_be_recorded(ledger: Ledger, look: Look) -> None:
    class Later:
        async def __call__(self, number: int) -> int:
            await asyncio.sleep(0)
            raise ValueError(number)

    async def add(one: int, other: int) -> int:
        return one + other

    def pow_of(exponent: int, base: int) -> int:
        return base**exponent

    with pytest.raises(ValueError, match="7"):
        await ledger.recorded(Later())(7)
    assert await ledger.recorded(partial(add, 1))(2) == 3
    assert await asyncio.to_thread(ledger.recorded(partial(pow_of, base=2)), 3) == 8
    runs = await asyncio.to_thread(look.runs)
    assert [(run.run_name or "").rpartition(".")[2] for run in runs] == ["Later", "add", "pow_of"]
    assert [(run.status, run.result) for run in runs] == [("failed", None), ("completed", 3), ("completed", 8)]


def test_what_somebody_else_has_ended_keeps_what_it_gave_beside_that_end(ledger: Ledger, look: Look) -> None:
    with ledger.execution("n", job_id="n") as run:
        ledger.backend.call("transition", "n", "cancelled", reason="too dear")
        run.result = {"rows": 7}
    (ended,) = look.runs()
    assert (ended.status, ended.result) == ("cancelled", None)
    assert ended.late_outcome is not None
    assert (ended.late_outcome["status"], ended.late_outcome["result"]) == ("completed", {"rows": 7})


def test_nobody_is_overruled_who_is_asked_for_an_approval(
    ledger: Ledger, look: Look, caplog: pytest.LogCaptureFixture
) -> None:
    with ledger.execution("n", job_id="n"):
        ledger.backend.call("transition", "n", "approval_requested")
    assert [run.status for run in look.runs()] == ["waiting_for_approval"]
    assert "update of run n was not recorded: Execution 'n' is waiting_for_approval" in caplog.text
    assert ledger.outbox.refused == 1


def test_a_ledger_that_goes_away_is_waited_for_once_and_told_later(
    database: Database, look: Look, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(database_url=database.url, actor=None)
    with running(settings) as address:
        ledger = Ledger(address)
        outer, inner = ledger.execution("outer", job_id="outer"), ledger.execution("inner", job_id="inner")
        outer.__enter__()
        inner.__enter__()
    began = time.monotonic()
    for number in range(100):
        with step("s") as each:
            inner.note(f"note {number}")
            each.result = number
    inner.__exit__(None, None, None)
    outer.__exit__(None, None, None)
    assert time.monotonic() - began < 20, "not even once as long as a client has patience"
    with running(settings, port=int(address.rpartition(":")[2])):
        assert ledger.outbox.flush(60)
        ledger.close()
    assert [(run.job_id, run.status) for run in look.runs()] == [("outer", "completed"), ("inner", "completed")]
    assert len(look.notes("inner")) == len(look.spans("inner").steps) == 100
    assert caplog.text.count("takes nothing now") == 1


def test_a_database_that_is_busy_holds_up_no_program(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/busy.db"
    migrate(url)
    other = sqlite3.connect(f"{tmp_path}/busy.db", isolation_level=None)
    with Ledger(url) as ledger, ledger.execution("n", job_id="n") as run:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for number in range(100):
            run.note(str(number))
        assert time.monotonic() - began < 4
        other.execute("COMMIT")
    other.close()
    assert len(Look(url).notes("n")) == 100


def test_a_run_inside_one_of_another_ledger_is_no_part_of_that(ledger: Ledger, tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    with ledger.execution("a", job_id="a"), Ledger(url) as other, other.execution("b", job_id="b"):
        pass
    assert [run.parent_job_id for run in Look(url).runs()] == [None]


FORKS = """
import os, sys

from execution_ledger.api.instrument import Ledger

ledger = Ledger(sys.argv[1])
with ledger.execution("n", job_id="n") as run:
    if os.fork() == 0:
        run.note("of the child")
        sys.exit(3)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
    run.result = "of the parent"
"""


def test_a_fork_that_leaves_the_block_does_not_end_the_run(
    address: str, look: Look, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ran = program(FORKS, address)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [(run.status, run.result) for run in look.runs()] == [("completed", "of the parent")]
    assert [(note.data or {})["text"] for note in look.notes("n")] == ["of the child"]


THREADS = """
import sys, threading, time

from execution_ledger.api.instrument import Ledger

ledger = Ledger(sys.argv[1])
with ledger.execution("first"):
    pass
run = ledger.execution("n", job_id="n")

def work():
    with run:
        time.sleep(0.5)
        run.note("after the end of the main thread")

threading.Thread(target=work).start()
"""


def test_what_threads_do_after_the_main_one_is_recorded_too(
    address: str, look: Look, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ran = program(THREADS, address)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [run.status for run in look.runs()] == ["completed", "completed"]
    assert len(look.notes("n")) == 1
