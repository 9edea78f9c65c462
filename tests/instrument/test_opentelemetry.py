"""Spans of the real OpenTelemetry SDK, in a database and at a service."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from execution_ledger.api.instrument import Ledger, current_run
from execution_ledger.api.instrument.opentelemetry import ExecutionLedgerSpanProcessor
from execution_ledger.infrastructure import Settings
from execution_ledger.projections import StepSpan
from support import Database
from support.gates import Gate
from support.http_service import running
from support.looking import Look


class Traced:
    """A provider whose spans are recorded, and nothing else of them."""

    def __init__(self, ledger: Ledger, *, sampler: Any = sampling.ALWAYS_ON, **options: Any) -> None:
        self.processor = ExecutionLedgerSpanProcessor(ledger, **options)
        self.provider = TracerProvider(
            resource=Resource.create({"service.name": "shop"}), sampler=sampler, shutdown_on_exit=False
        )
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("the.scope")

    def flush(self) -> None:
        assert self.provider.force_flush()
        assert (self.processor.dropped, self.processor.refused) == (0, 0)


@pytest.fixture
def traced(ledger: Ledger) -> Iterator[Traced]:
    traced = Traced(ledger)
    yield traced
    traced.provider.shutdown()


@pytest.fixture
def gate(ledger: Ledger) -> Gate:
    gate = ledger.backend = Gate(ledger.backend)
    return gate


def flat(steps: Sequence[StepSpan]) -> list[StepSpan]:
    return [each for step in steps for each in (step, *flat(step.steps))]


def test_outermost_spans_are_runs_and_the_spans_inside_are_steps(traced: Traced, look: Look) -> None:
    elsewhere = SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(1))
    links = [Link(elsewhere)]
    with traced.tracer.start_as_current_span("GET", kind=SpanKind.SERVER, attributes={"n": 1}, links=links) as root:
        root.set_attribute("http.status", 200)
        root.update_name("GET /orders")
        with traced.tracer.start_as_current_span("query", kind=SpanKind.CLIENT, attributes={"db": "x"}) as query:
            query.add_event("retried", {"times": 2})
            query.set_attribute("rows", [1, 2])
            with traced.tracer.start_as_current_span("connect"):
                pass
    traced.flush()
    (run,) = look.runs()
    assert (run.run_name, run.execution_type, run.status) == ("GET /orders", "shop", "completed")
    assert run.attributes == {
        "n": 1,
        "http.status": 200,
        "otel.kind": "server",
        "otel.scope": "the.scope",
        "otel.links": [{"trace_id": f"{10:032x}", "span_id": f"{11:016x}"}],
    }
    context = root.get_span_context()
    assert run.job_id == f"{context.trace_id:032x}-{context.span_id:016x}"
    events = look.events(run.job_id)
    assert {event.trace_id for event in events} == {f"{context.trace_id:032x}"}
    assert {event.actor for event in events} == {"ada"}
    (step,) = look.spans(run.job_id).steps
    assert (step.name, step.kind, step.outcome) == ("query", "client", "completed")
    assert step.step_id == f"{query.get_span_context().span_id:016x}"
    assert [(each.name, each.kind) for each in step.steps] == [("connect", "internal")]
    (begun,) = (event.data for event in events if event.data and event.data.get("name") == "query")
    assert begun["attributes"] == {"db": "x"}
    (ended,) = (event.data for event in events if event.data and event.data.get("result"))
    assert ended["result"] == {"attributes": {"rows": [1, 2]}}
    (note,) = look.notes(run.job_id)
    assert note.data is not None
    assert (note.data["text"], note.data["step_id"], note.data["data"]) == ("retried", step.step_id, {"times": 2})
    span: Any = root
    assert abs(run.started_at.timestamp() - span.start_time / 1e9) < 1e-5  # type: ignore[union-attr]
    assert abs(run.completed_at.timestamp() - span.end_time / 1e9) < 1e-5  # type: ignore[union-attr]


def test_exceptions_are_notes_and_a_status_of_error_is_a_failure(traced: Traced, look: Look) -> None:
    def fail() -> None:
        with suppress(KeyError), traced.tracer.start_as_current_span("inner"):
            raise KeyError("handled")
        raise ValueError("bad \x00" + "x" * 50_000)

    with pytest.raises(ValueError, match="bad"), traced.tracer.start_as_current_span("raises"):
        fail()
    with traced.tracer.start_as_current_span("copes") as span:
        span.record_exception(OSError("not serious"))
    with traced.tracer.start_as_current_span("tells") as span:
        span.set_status(Status(StatusCode.ERROR, "quota"))
    with traced.tracer.start_as_current_span("hints") as span:
        span.record_exception(OSError("disk full"))
        span.set_status(Status(StatusCode.ERROR))
    with traced.tracer.start_as_current_span("mute") as span:
        span.set_status(Status(StatusCode.ERROR))
    traced.flush()
    raises, copes, tells, hints, mute = look.runs()
    assert raises.status == "failed"
    assert raises.error is not None
    assert raises.error.startswith("ValueError: bad \u2400xxx")
    assert len(raises.error) < 5_000
    (inner,) = look.spans(raises.job_id).steps
    assert (inner.outcome, inner.error) == ("failed", "KeyError: 'handled'")
    first, second = (note.data or {} for note in look.notes(raises.job_id))
    assert (first["level"], first["source"], first["step_id"]) == ("error", "traceback", inner.step_id)
    assert first["text"].startswith("Traceback")
    assert "step_id" not in second
    assert len(second["text"]) < 17_000
    assert (copes.status, copes.error) == ("completed", None)
    assert len(look.notes(copes.job_id)) == 1
    assert [(each.status, each.error) for each in (tells, hints, mute)] == [
        ("failed", "quota"),
        ("failed", "OSError: disk full"),
        ("failed", "The span has the status ERROR."),
    ]


async def test_what_is_cancelled_is_not_completed(traced: Traced, look: Look) -> None:
    started = asyncio.Event()

    async def work() -> None:
        with traced.tracer.start_as_current_span("work"), traced.tracer.start_as_current_span("inner"):
            started.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                with traced.tracer.start_as_current_span("clean up"):
                    pass
                raise

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(traced.flush)
    (run,) = await asyncio.to_thread(look.runs)
    assert run.status == "cancelled"
    spans = await asyncio.to_thread(look.spans, run.job_id)
    assert [(step.name, step.outcome) for step in flat(spans.steps)] == [
        ("inner", "cancelled"),
        ("clean up", "completed"),
    ]


def test_children_may_outlive_what_they_lie_in_and_begin_after_it(traced: Traced, look: Look) -> None:
    tracer = traced.tracer
    with tracer.start_as_current_span("root") as root:
        with tracer.start_as_current_span("parent") as parent:
            outlives = tracer.start_span("outlives its parent")
        in_parent = trace.set_span_in_context(parent)
        tracer.start_span("begins after its parent", context=in_parent).end()
        outlives.end()
        longest = tracer.start_span("outlives the run")
    late = tracer.start_span("begins after the run", context=in_parent, attributes={"x": 1})
    later = tracer.start_span("inside what is late", context=trace.set_span_in_context(late))
    later.set_status(Status(StatusCode.ERROR, "too late"))
    later.end()
    late.end()
    longest.end()
    root.end()  # again: nothing but a warning of the SDK's
    traced.flush()
    (run,) = look.runs()
    assert run.status == "completed"
    steps = look.spans(run.job_id).steps
    assert [(step.name, step.outcome) for step in steps] == [
        ("parent", "completed"),
        ("begins after its parent", "completed"),
        ("outlives the run", "completed"),
    ]
    assert [step.name for step in steps[0].steps] == ["outlives its parent"]
    inner, outer = (note.data or {} for note in look.notes(run.job_id))
    assert (inner["text"], inner["level"]) == ("After the end of the run: inside what is late", "error")
    assert (inner["data"]["outcome"], inner["data"]["error"]) == ("failed", "too late")
    assert outer["text"] == "After the end of the run: begins after the run"
    assert outer["data"]["attributes"] == {"x": 1}
    assert outer["data"]["started_at"] < outer["data"]["finished_at"]


def test_spans_of_other_threads_belong_where_their_context_says(traced: Traced, look: Look) -> None:
    def work(number: int) -> None:
        with traced.tracer.start_as_current_span(f"trace {number}") as root:
            here = trace.set_span_in_context(root)

            def help(name: str) -> None:
                start = traced.tracer.start_as_current_span
                with start(name, context=here), start(f"{name}, inside"):
                    pass

            helpers = [threading.Thread(target=help, args=(name,)) for name in ("a", "b")]
            for each in helpers:
                each.start()
            for each in helpers:
                each.join()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(100)))
    traced.flush()
    runs = look.runs()
    assert sorted(run.run_name or "" for run in runs) == sorted(f"trace {number}" for number in range(100))
    assert {run.status for run in runs} == {"completed"}
    for run in runs[:5]:
        steps = look.spans(run.job_id).steps
        assert {(step.name, *(each.name for each in step.steps)) for step in steps} == {
            ("a", "a, inside"),
            ("b", "b, inside"),
        }


def test_a_trace_may_have_several_runs(traced: Traced, look: Look) -> None:
    caller = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
    there = trace.set_span_in_context(NonRecordingSpan(caller))
    for name in ("first request", "second request"):
        with traced.tracer.start_as_current_span(name, context=there) as span:
            pass
    here = trace.set_span_in_context(NonRecordingSpan(span.get_span_context()))
    with traced.tracer.start_as_current_span("called by itself", context=here):
        pass
    traced.flush()
    runs = look.runs()
    assert [run.run_name for run in runs] == ["first request", "second request"]
    for run in runs:
        assert run.job_id.startswith(f"{0xABC:032x}-")
        assert run.attributes is not None
        assert run.attributes["otel.parent_span_id"] == f"{0xDEF:016x}"
    (note,) = look.notes(runs[1].job_id)
    assert note.data is not None
    assert note.data["text"] == "After the end of the run: called by itself"


def test_which_spans_are_runs_can_be_said(ledger: Ledger, look: Look, caplog: pytest.LogCaptureFixture) -> None:
    def is_job(span: Any) -> bool:
        if span.name == "odd":
            raise LookupError("cannot say")
        return "job" in span.attributes

    traced = Traced(ledger, runs=is_job)
    start = traced.tracer.start_as_current_span
    nightly, part = (start(name, attributes={"job": True}) for name in ("nightly", "part"))
    with start("server"), start("of no run"), nightly, start("step"), part, start("deeper"), start("odd"):
        pass
    traced.flush()
    outer, inner = look.runs()
    assert (outer.run_name, inner.run_name) == ("nightly", "part")
    assert (outer.parent_job_id, inner.parent_job_id) == (None, outer.job_id)
    assert [step.name for step in flat(look.spans(outer.job_id).steps)] == ["step"]
    assert [step.name for step in flat(look.spans(inner.job_id).steps)] == ["deeper"]
    assert "A span is not recorded: cannot say" in caplog.text
    traced.provider.shutdown()


def test_a_trace_inside_a_run_is_a_part_of_it(traced: Traced, ledger: Ledger, look: Look) -> None:
    with ledger.execution("outer", job_id="outer"):
        assert current_run() is not None
        with traced.tracer.start_as_current_span("root"):
            pass
    traced.flush()
    assert [(run.run_name, run.parent_job_id) for run in look.runs()] == [("outer", None), ("root", "outer")]


def test_whatever_is_in_a_span_can_be_kept(traced: Traced, look: Look) -> None:
    odd: dict[str, Any] = {
        "nul": "a\x00b",
        "surrogate": "a\ud800",
        "nan": float("nan"),
        "large": 2**80,
        "long": "x" * 100_000,
        "k" * 300: True,
    }
    with traced.tracer.start_as_current_span("n" * 1_000 + "\x00\n", attributes=odd) as root:
        with traced.tracer.start_as_current_span("", attributes=odd) as inner:
            for number in range(300):
                inner.add_event("", {"number": number, **odd})
        root.set_attributes({f"a{number}": number for number in range(300)})
    traced.flush()
    (run,) = look.runs()
    assert run.run_name is not None
    assert len(run.run_name) == 255
    assert run.attributes is not None
    assert len(run.attributes) <= 2 * 128 + 2
    (step,) = look.spans(run.job_id).steps
    assert step.name == step.step_id
    assert len(look.notes(run.job_id)) == 128


def test_what_is_not_sampled_is_not_recorded(ledger: Ledger, look: Look) -> None:
    traced = Traced(ledger, sampler=sampling.ALWAYS_OFF)
    with traced.tracer.start_as_current_span("root"), traced.tracer.start_as_current_span("inner"):
        pass
    traced.flush()
    assert look.runs() == []
    traced.provider.shutdown()


def test_what_the_ledger_itself_does_is_not_recorded(ledger: Ledger, gate: Gate, look: Look) -> None:
    gate.open.set()
    traced = Traced(ledger)

    def write() -> None:
        with traced.tracer.start_as_current_span("INSERT"):
            pass

    writer = threading.Thread(target=write, name="execution-ledger-writer")
    writer.start()
    writer.join()
    with traced.tracer.start_as_current_span("root"):
        pass
    traced.flush()
    assert [run.run_name for run in look.runs()] == ["root"]
    assert gate.quiet == {True}, "instrumented libraries make no spans of it"
    traced.provider.shutdown()


def test_a_ledger_that_is_slow_holds_up_nothing_and_what_has_no_room_is_counted(
    ledger: Ledger, gate: Gate, look: Look, caplog: pytest.LogCaptureFixture
) -> None:
    traced = Traced(ledger, capacity=20)
    start = traced.tracer.start_as_current_span
    with start("open all the time"):
        assert gate.came.wait(60)
        for number in range(200):
            with start(f"step {number}") as span:
                span.add_event("e")
        for number in range(50):
            with start(f"trace {number}", context=contexts.Context()), start("inside"):
                pass
        assert not traced.processor.force_flush(10)
        with pytest.raises(ValueError, match="x"), start("left out"), start("beneath"):
            raise ValueError("x")
    gate.open.set()
    assert traced.processor.force_flush()
    assert traced.processor.dropped > 200
    assert traced.processor.refused == 0
    assert [record.message for record in caplog.records if record.name == "execution_ledger.instrument"] == [
        "Something is not recorded: more than 20 writes wait; how much, is counted"
    ]
    runs = look.runs()
    assert {run.status for run in runs} == {"completed"}
    steps = flat(look.spans(runs[0].job_id).steps)
    assert 5 < len(steps) < 30
    assert {step.outcome for step in steps} == {"completed"}, "what is begun is ended"
    with start("as ever"), start("inside"):
        pass
    assert traced.processor.force_flush()
    assert look.runs()[-1].run_name == "as ever"
    traced.provider.shutdown()


def test_after_the_shutdown_nothing_is_recorded_and_nothing_breaks(
    ledger: Ledger, look: Look, caplog: pytest.LogCaptureFixture
) -> None:
    traced = Traced(ledger)
    with traced.tracer.start_as_current_span("before"):
        pass
    under_way = traced.tracer.start_span("under way")
    traced.provider.shutdown()
    traced.processor.shutdown()
    with traced.tracer.start_as_current_span("after"):
        pass
    under_way.end()
    assert traced.processor.force_flush(1)
    assert [(run.run_name, run.status) for run in look.runs()] == [("before", "completed"), ("under way", "running")]
    assert traced.processor.dropped == 3
    assert "the outbox is closed" in caplog.text


def test_a_shutdown_gives_up_on_a_ledger_that_does_not_answer(
    ledger: Ledger, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("execution_ledger.api.instrument.opentelemetry.PATIENCE", 0.2)
    traced = Traced(ledger)
    with traced.tracer.start_as_current_span("root"):
        assert gate.came.wait(60)
    traced.provider.shutdown()
    assert traced.processor.dropped == 1, "its end; its beginning is on the way"
    gate.open.set()
    for thread in threading.enumerate():
        if thread.name.endswith("-outbox"):
            thread.join(60)  # else the ledger is closed under what it still sends


def test_a_service_that_was_away_gets_what_happened_meanwhile(database: Database, look: Look) -> None:
    settings = Settings(database_url=database.url, actor=None)
    with running(settings) as address:
        ledger = Ledger(address, actor="ada")
        traced = Traced(ledger)
        root = traced.tracer.start_span("root")
        traced.flush()
    inside = trace.set_span_in_context(root)
    for number in range(10):
        traced.tracer.start_span(f"step {number}", context=inside).end()
    root.end()
    assert not traced.processor.force_flush(100)
    with running(settings, port=int(address.rpartition(":")[2])):
        traced.flush()
        traced.provider.shutdown()
        ledger.close()
    (run,) = look.runs()
    assert run.status == "completed"
    assert [step.outcome for step in look.spans(run.job_id).steps] == ["completed"] * 10


def test_one_write_that_the_database_does_not_take_holds_up_no_other(
    ledger: Ledger, gate: Gate, look: Look, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("execution_ledger.api.instrument.outbox._DELAYS", (0.0, 0.0))
    gate.poison = "poison"
    gate.open.set()
    traced = Traced(ledger)
    start = traced.tracer.start_as_current_span
    with start("root"), start("poison"), start("inner"):
        pass
    assert traced.processor.force_flush()
    (run,) = look.runs()
    assert run.status == "completed"
    assert traced.processor.refused > 0
    assert "start-step of run" in caplog.text
    traced.provider.shutdown()


def test_the_outcome_of_what_somebody_else_has_ended_is_kept_beside_that_end(
    traced: Traced, ledger: Ledger, look: Look
) -> None:
    def work() -> None:
        with traced.tracer.start_as_current_span("step"):
            assert traced.processor.force_flush()
            (run,) = look.runs()
            ledger.backend.call("transition", run.job_id, "cancelled", reason="too dear")
        with traced.tracer.start_as_current_span("too late"):
            pass
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"), traced.tracer.start_as_current_span("root"):
        work()
    assert traced.processor.force_flush()
    (run,) = look.runs()
    assert (run.status, run.error) == ("cancelled", None)
    assert run.late_outcome is not None
    assert (run.late_outcome["status"], run.late_outcome["error"]) == ("failed", "ValueError: boom")
    assert [(step.name, step.outcome) for step in look.spans(run.job_id).steps] == [("step", "completed")]
    assert traced.processor.refused == 2, "the step that began after the end, and its end"


def test_what_two_processors_tell_is_recorded_once(traced: Traced, ledger: Ledger, look: Look) -> None:
    twin = ExecutionLedgerSpanProcessor(ledger)
    traced.provider.add_span_processor(twin)
    with traced.tracer.start_as_current_span("root"), traced.tracer.start_as_current_span("step") as step:
        step.add_event("e")
    traced.flush()
    assert (twin.dropped, twin.refused) == (0, 0)
    (run,) = look.runs()
    names = [event.name for event in look.events(run.job_id)]
    assert sorted(names) == ["completed", "created", "noted", "step_finished", "step_started"]


PROGRAM = """
import multiprocessing, os, signal, sys, time

from opentelemetry.sdk.trace import TracerProvider

from execution_ledger.api.instrument import Ledger
from execution_ledger.api.instrument.opentelemetry import ExecutionLedgerSpanProcessor

address, how = sys.argv[1:]
processor = ExecutionLedgerSpanProcessor(Ledger(address))
provider = TracerProvider(shutdown_on_exit=how == "shutdown")
provider.add_span_processor(processor)
start = provider.get_tracer("program").start_as_current_span

def child(number):
    with start(f"child {number}"):
        pass

with start("root"):
    with start("step"):
        if how == "killed":
            processor.force_flush()
            os.kill(os.getpid(), signal.SIGKILL)
    if how == "forks":
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=child, args=(number,)) for number in range(3)]
        for each in children:
            each.start()
        for each in children:
            each.join()
    if how == "raises":
        raise ValueError("at the end")
with start("last"):
    pass
"""


@pytest.mark.parametrize("how", ["shutdown", "no shutdown", "raises", "killed", "forks"])
def test_a_program_may_end_as_it_likes(
    address: str, look: Look, program: Callable[..., subprocess.CompletedProcess[str]], how: str
) -> None:
    ran = program(PROGRAM, address, how)
    runs = {run.run_name: run for run in look.runs()}
    steps = [(step.name, step.outcome) for step in look.spans(runs["root"].job_id).steps]
    if how == "killed":
        assert ran.returncode < 0
        assert {name: run.status for name, run in runs.items()} == {"root": "running"}
        assert steps == [("step", None)]
        return
    if how == "raises":
        assert "ValueError: at the end" in ran.stderr
        assert {name: (run.status, run.error) for name, run in runs.items()} == {
            "root": ("failed", "ValueError: at the end")
        }
        return
    assert (ran.returncode, ran.stderr) == (0, "")
    assert {name: run.status for name, run in runs.items()} == {"root": "completed", "last": "completed"}
    children = [(f"child {number}", "completed") for number in range(3)] if how == "forks" else []
    assert sorted(steps) == sorted([("step", "completed"), *children])
