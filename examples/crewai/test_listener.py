"""Crews, flows and agents of the real CrewAI, recorded in a database and at a service."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.events import crewai_event_bus
from crewai.events.event_context import VALID_EVENT_PAIRS
from crewai.flow.async_feedback.types import HumanFeedbackPending
from crewai.flow.flow import Flow, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.tools import tool
from crewai.tools.tool_failure import ToolFailure, ToolFailurePolicy
from scripted import Scripted, final, use

from execution_ledger.api.instrument import Ledger
from execution_ledger.api.instrument.crewai import ExecutionLedgerListener
from execution_ledger.api.instrument.crewai_events import SCOPES, Scope
from execution_ledger.infrastructure import ExecutionHistory
from execution_ledger.projections import StepSpan
from support.looking import Look


@tool("adder")
def adder(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool("breaker")
def breaker(a: int) -> int:
    """Breaks."""
    raise ValueError("broken beyond repair")


@tool("refuser")
def refuser(a: int) -> Any:
    """Reports that it did nothing."""
    return ToolFailure(message="the channel is closed")


def agent(*answers: Any, role: str = "Researcher", **options: Any) -> Agent:
    return Agent(
        role=role,
        goal="find out",
        backstory="experienced",
        llm=Scripted(model="scripted", answers=list(answers)),
        **options,
    )


def crew(worker: Agent, *names: str, name: str = "Researchers", **options: Any) -> Crew:
    tasks = [Task(name=each, description=f"Do {{x}}: {each}", expected_output="it", agent=worker) for each in names]
    return Crew(name=name, agents=[worker], tasks=tasks, **options)


@pytest.fixture
def listener(ledger: Ledger) -> Iterator[ExecutionLedgerListener]:
    with ExecutionLedgerListener(ledger) as listener:
        yield listener


def settle(listener: ExecutionLedgerListener) -> None:
    assert listener.flush(60)
    assert (listener.dropped, listener.refused) == (0, 0)


def tree(steps: Sequence[StepSpan]) -> list[Any]:
    return [(step.kind, step.name, step.outcome, tree(step.steps)) for step in steps]


def payloads(look: Look, run: ExecutionHistory, name: str) -> list[dict[str, Any]]:
    return [event.data or {} for event in look.events(run.job_id) if event.name == name]


def test_a_crew_is_a_run_and_what_it_does_are_steps(listener: ExecutionLedgerListener, look: Look) -> None:
    worker = agent(use("adder", '{"a": 1, "b": 2}'), final("3"), role="Adder", tools=[adder])
    assert crew(worker, "sum").kickoff(inputs={"x": "it"}).raw == "3"
    settle(listener)
    (run,) = look.runs()
    assert (run.run_name, run.execution_type, run.status) == ("Researchers", "crew", "completed")
    assert (run.inputs, run.result, run.parent_job_id) == ({"x": "it"}, "3", None)
    llm = ("llm", "scripted", "completed", [])
    work = [llm, ("tool", "adder", "completed", []), llm]
    assert tree(look.spans(run.job_id).steps) == [
        ("task", "sum", "completed", [("agent", "Adder", "completed", work)]),
    ]
    begun = {step["kind"]: step["attributes"] for step in payloads(look, run, "step_started")}
    assert begun["task"] == {"description": "Do it: sum", "expected_output": "it", "role": "Adder"}
    assert begun["tool"] == {"tool_args": '{"a": 1, "b": 2}', "agent_role": "Adder"}
    assert begun["llm"]["messages"][0]["role"] == "system"
    results = [step.get("result") for step in payloads(look, run, "step_finished")]
    assert results[0]["usage"] == {"total_tokens": 7}
    assert results[1] == "3"
    assert results[3:] == ["3", "3"]
    assert {event.actor for event in look.events(run.job_id)} == {"ada"}


def test_what_a_tool_raises_is_kept(listener: ExecutionLedgerListener, look: Look) -> None:
    worker = agent(use("breaker", '{"a": 1}'), final("I could not"), tools=[breaker])
    crew(worker, "try").kickoff(inputs={"x": "it"})
    settle(listener)
    (run,) = look.runs()
    assert run.status == "completed"
    failed = [step for step in payloads(look, run, "step_finished") if step["outcome"] == "failed"]
    assert failed
    assert all("broken beyond repair" in step["error"] for step in failed)


def test_what_a_tool_reports_is_kept(listener: ExecutionLedgerListener, look: Look) -> None:
    worker = agent(use("refuser", '{"a": 1}'), final("I could not"), tools=[refuser])
    crew(worker, "try").kickoff(inputs={"x": "it"})
    settle(listener)
    (run,) = look.runs()
    (failed,) = [step for step in payloads(look, run, "step_finished") if step["outcome"] == "failed"]
    assert failed["error"] == "the channel is closed"
    (note,) = payloads(look, run, "noted")
    assert (note["level"], note["text"]) == ("warning", "tool_failure_detected: the channel is closed")


def test_a_crew_that_fails_takes_down_what_it_was_in(listener: ExecutionLedgerListener, look: Look) -> None:
    worker = agent(use("refuser", '{"a": 1}'), tools=[refuser], tool_failure_policy=ToolFailurePolicy.RAISE)
    with pytest.raises(Exception, match="the channel is closed"):
        crew(worker, "try").kickoff(inputs={"x": "it"})
    crew(agent(final("fine")), "again", name="Others").kickoff(inputs={"x": "it"})
    settle(listener)
    failed, fine = look.runs()
    assert failed.status == "failed"
    assert failed.error is not None
    assert "the channel is closed" in failed.error
    assert failed.completed_at is not None
    (task,) = look.spans(failed.job_id).steps
    assert (task.name, task.outcome, task.steps[0].outcome) == ("try", "failed", "failed")
    assert task.error is not None
    assert "the channel is closed" in task.error
    assert (fine.run_name, fine.status, fine.parent_job_id) == ("Others", "completed", None)


def test_a_model_that_fails_fails_the_crew(listener: ExecutionLedgerListener, look: Look) -> None:
    with pytest.raises(RuntimeError, match="no quota"):
        crew(agent(RuntimeError("no quota")), "try").kickoff(inputs={"x": "it"})
    settle(listener)
    (run,) = look.runs()
    assert (run.status, run.error) == ("failed", "no quota")
    (task,) = look.spans(run.job_id).steps
    assert (task.outcome, task.error) == ("failed", "no quota")
    assert {(each.kind, each.outcome) for each in task.steps} == {("agent", "failed")}
    assert {(each.kind, each.outcome) for agents in task.steps for each in agents.steps} == {("llm", "failed")}


class Pipeline(Flow[Any]):
    @start()
    def research(self) -> str:
        agent(final("4"), role="Alone").kickoff("how many?")
        return crew(agent(final("3")), "sum").kickoff(inputs={"x": "it"}).raw

    @listen(research)
    def shout(self, found: str) -> dict[str, str]:
        return {"shouted": f"{found}!"}


class Broken(Flow[Any]):
    @start()
    def work(self) -> None:
        raise ValueError("no disk")


class BrokenInside(Flow[Any]):
    @start()
    def work(self) -> None:
        crew(agent(RuntimeError("no quota")), "try").kickoff(inputs={"x": "it"})


def test_a_flow_is_a_run_with_its_methods_and_its_crews_are_parts_of_it(
    listener: ExecutionLedgerListener, look: Look
) -> None:
    flow = Pipeline()
    assert flow.kickoff(inputs={"topic": "sums"}) == {"shouted": "3!"}
    settle(listener)
    outer, inner = look.runs()
    assert (outer.run_name, outer.execution_type, outer.status) == ("Pipeline", "flow", "completed")
    assert (outer.inputs, outer.result) == ({"topic": "sums"}, {"shouted": "3!"})
    assert outer.attributes == {"flow_id": flow.flow_id}
    lone = ("agent", "Alone", "completed", [("llm", "scripted", "completed", [])])
    assert tree(look.spans(outer.job_id).steps) == [
        ("method", "research", "completed", [lone]),
        ("method", "shout", "completed", []),
    ]
    assert (inner.run_name, inner.execution_type, inner.parent_job_id) == ("Researchers", "crew", outer.job_id)
    assert inner.result == "3"


def test_a_flow_that_fails_keeps_the_traceback(listener: ExecutionLedgerListener, look: Look) -> None:
    with pytest.raises(ValueError, match="no disk"):
        Broken().kickoff()
    settle(listener)
    (run,) = look.runs()
    assert (run.status, run.error) == ("failed", "ValueError: no disk")
    (step,) = look.spans(run.job_id).steps
    assert (step.outcome, step.error) == ("failed", "ValueError: no disk")
    notes = payloads(look, run, "noted")
    assert [note["source"] for note in notes] == ["traceback", "traceback"]
    assert "in work" in notes[0]["text"]


def test_a_crew_that_fails_inside_a_flow_fails_both(listener: ExecutionLedgerListener, look: Look) -> None:
    with pytest.raises(RuntimeError, match="no quota"):
        BrokenInside().kickoff()
    settle(listener)
    flow, inside = look.runs()
    assert (flow.run_name, flow.status, flow.error) == ("BrokenInside", "failed", "RuntimeError: no quota")
    assert (inside.status, inside.error, inside.parent_job_id) == ("failed", "no quota", flow.job_id)
    assert tree(look.spans(flow.job_id).steps) == [("method", "work", "failed", [])]


def test_tasks_and_crews_may_run_side_by_side(listener: ExecutionLedgerListener, look: Look) -> None:
    tasks = [
        Task(name=name, description=name, expected_output="it", agent=agent(final("x")), async_execution=name != "last")
        for name in ("one", "two", "last")
    ]
    Crew(name="in threads", agents=[task.agent for task in tasks if task.agent], tasks=tasks).kickoff()

    async def together() -> None:
        crews = (crew(agent(final(name)), "t", name=name) for name in ("a", "b", "c"))
        await asyncio.gather(*(each.kickoff_async(inputs={"x": "it"}) for each in crews))

    asyncio.run(together())
    crew(agent(final("x")), "t", name="each").kickoff_for_each(inputs=[{"x": 1}, {"x": 2}])
    settle(listener)
    runs = {run.run_name: run for run in look.runs()}
    assert sorted(run.run_name or "" for run in look.runs()) == ["a", "b", "c", "each", "each", "in threads"]
    assert {run.status for run in look.runs()} == {"completed"}
    assert {run.parent_job_id for run in look.runs()} == {None}
    steps = look.spans(runs["in threads"].job_id).steps
    assert sorted(step.name for step in steps) == ["last", "one", "two"]
    for step in steps:
        assert tree(step.steps) == [("agent", "Researcher", "completed", [("llm", "scripted", "completed", [])])]
    assert [runs[name].result for name in ("a", "b", "c")] == ["a", "b", "c"]


def test_an_agent_alone_is_a_run(listener: ExecutionLedgerListener, look: Look) -> None:
    agent(final("4")).kickoff("how many?")
    settle(listener)
    (run,) = look.runs()
    assert (run.run_name, run.execution_type, run.status, run.result) == ("Researcher", "agent", "completed", "4")
    assert "how many?" in str(run.inputs)
    assert tree(look.spans(run.job_id).steps) == [("llm", "scripted", "completed", [])]


def test_what_a_guardrail_says_is_kept(listener: ExecutionLedgerListener, look: Look) -> None:
    told: list[str] = []

    def strict(output):  # CrewAI reads annotations, as objects alone
        told.append(output.raw)
        return (len(told) > 1, output.raw if len(told) > 1 else "too short")

    worker = agent(final("short"), final("much longer"))
    task = Task(name="write", description="Write", expected_output="text", agent=worker, guardrail=strict)
    Crew(name="Writers", agents=[worker], tasks=[task]).kickoff()
    settle(listener)
    (run,) = look.runs()
    (written,) = look.spans(run.job_id).steps
    guards = [(step.outcome, step.error) for step in written.steps if step.kind == "guardrail"]
    assert guards == [("failed", "too short"), ("completed", None)]


class Waits:
    def request_feedback(self, context: Any, flow: Any) -> str:
        raise HumanFeedbackPending(context=context, callback_info={})


class Asks(Flow[Any]):
    @start()
    @human_feedback(message="Is it good?", provider=Waits())  # type: ignore[arg-type]
    def draft(self) -> str:
        return "a draft"

    @listen(draft)
    def publish(self, _: Any) -> str:
        return "published"


def test_a_flow_that_waits_for_a_person_waits_for_approval(listener: ExecutionLedgerListener, look: Look) -> None:
    flow = Asks()
    flow.kickoff()
    settle(listener)
    (run,) = look.runs()
    assert (run.status, run.message) == ("waiting_for_approval", "Is it good?")
    Asks.from_pending(flow.flow_id, flow.persistence).resume("fine")
    settle(listener)
    (run,) = look.runs()
    assert (run.status, run.result) == ("completed", "published")
    events = [event.name for event in look.events(run.job_id) if "step" not in event.name]
    assert events == ["created", "approval_requested", "approved", "completed"]
    assert [step.name for step in look.spans(run.job_id).steps] == ["draft", "draft", "publish"]


def test_what_goes_in_and_comes_out_can_be_left_out(ledger: Ledger, look: Look) -> None:
    secret = "xyzzy-secret"
    with ExecutionLedgerListener(ledger, inputs=False, result=False) as listener:
        worker = agent(use("adder", '{"a": 1, "b": 2}'), final(secret), tools=[adder])
        crew(worker, "sum").kickoff(inputs={"x": secret})
    assert (listener.dropped, listener.refused) == (0, 0)
    (run,) = look.runs()
    assert (run.status, run.inputs, run.result) == ("completed", None, None)
    assert secret not in "".join(str(event.data) for event in look.events(run.job_id))


def test_whatever_a_model_says_can_be_kept(listener: ExecutionLedgerListener, look: Look) -> None:
    crew(agent(final("\x00 and " + "long " * 50_000)), "say\x00it").kickoff(inputs={"x": "y" * 100_000})
    settle(listener)
    (run,) = look.runs()
    assert run.status == "completed"
    assert run.result.startswith("\u2400 and long")
    assert max(len(str(event.data)) for event in look.events(run.job_id)) < 70_000


def test_a_crew_inside_a_run_is_a_part_of_it(ledger: Ledger, listener: ExecutionLedgerListener, look: Look) -> None:
    with ledger.execution("nightly", job_id="nightly"):
        crew(agent(final("3")), "sum").kickoff(inputs={"x": "it"})
    settle(listener)
    assert [(run.run_name, run.parent_job_id) for run in look.runs()] == [("nightly", None), ("Researchers", "nightly")]


def test_what_happens_after_the_listener_is_closed_is_not_recorded(ledger: Ledger, look: Look) -> None:
    with ExecutionLedgerListener(ledger):
        crew(agent(final("3")), "sum", name="before").kickoff(inputs={"x": "it"})
    crew(agent(final("3")), "sum", name="after").kickoff(inputs={"x": "it"})
    assert [run.run_name for run in look.runs()] == ["before"]


class Keep:
    """A handler that keeps what happened."""

    def __init__(self) -> None:
        self.happened: list[tuple[Any, Any]] = []

    async def __call__(self, source: Any, event: Any) -> None:
        self.happened.append((source, event))


def test_what_is_replayed_is_recorded_once_and_goes_on(ledger: Ledger, look: Look) -> None:
    first = ExecutionLedgerListener(ledger)

    class Interrupted(Flow[Any]):
        @start()
        def one(self) -> str:
            return "first"

        @listen(one)
        def two(self, _: str) -> str:
            first.close()  # as if the process had gone
            return "second"

    keep = Keep()
    events = [event for scope in SCOPES for event in (scope.begins, scope.completes)]
    for event in events:
        crewai_event_bus.register_handler(event, keep)
    try:
        Interrupted().kickoff()
    finally:
        for event in events:
            crewai_event_bus.off(event, keep)
    (run,) = look.runs()
    assert run.status == "running"
    before = look.events(run.job_id)
    with ExecutionLedgerListener(ledger) as second:
        for source, event in keep.happened:
            crewai_event_bus.replay(source, event)
        settle(second)
    (run,) = look.runs()
    assert (run.status, run.result) == ("completed", "second")
    assert look.events(run.job_id)[: len(before)] == before
    assert tree(look.spans(run.job_id).steps) == [
        ("method", "one", "completed", []),
        ("method", "two", "completed", []),
    ]


def test_a_ledger_that_does_not_answer_holds_up_no_crew(ledger: Ledger, look: Look) -> None:
    backend = ledger.backend
    go_on = threading.Event()

    class Slow:
        close, call = backend.close, backend.call

        def send(self, writes: Any) -> Any:
            assert go_on.wait(60)
            return backend.send(writes)

    ledger.backend = Slow()
    with ExecutionLedgerListener(ledger, capacity=5) as listener:
        for _ in range(5):
            assert crew(agent(final("3")), "sum").kickoff(inputs={"x": "it"}).raw == "3"
        assert not listener.flush(0.01)
        go_on.set()
        assert listener.flush(60)
        assert listener.dropped > 0
        assert listener.refused == 0
    runs = look.runs()
    assert runs
    assert {run.status for run in runs} == {"completed"}


def test_the_events_are_those_that_crewai_pairs() -> None:
    def type_of(event: type[Any]) -> str:
        return event.model_fields["type"].default

    for scope in SCOPES:
        for end in (scope.completes, scope.fails):
            if end is not None:
                assert VALID_EVENT_PAIRS[type_of(end)] == type_of(scope.begins)


def _fields(event: type[Any]) -> dict[str, Any]:
    """What an event of this class needs at least."""
    values = {"query": "q", "value": "v", "limit": 3, "error": "it broke", "agent_role": "R", "task_id": "t"}
    values |= {
        "query_time_ms": 1.0,
        "save_time_ms": 1.0,
        "retrieval_time_ms": 1.0,
        "memory_content": "m",
        "results": [],
    }
    values |= {"task_prompt": "p", "retrieved_knowledge": "k", "server_name": "s", "tool_name": "n", "plan": "p"}
    values |= {"ready": True}
    return {name: values[name] for name in event.model_fields if name in values}


@pytest.mark.parametrize("outcome", ["completed", "failed"])
@pytest.mark.parametrize(
    "scope",
    [scope for scope in SCOPES if scope.kind in ("memory", "knowledge", "mcp", "reasoning")],
    ids=lambda scope: scope.begins.__name__,
)
def test_what_needs_a_network_is_recorded_by_its_events(
    listener: ExecutionLedgerListener, look: Look, scope: Scope, outcome: str
) -> None:
    """Stores and servers are not at hand: CrewAI's own events of them, on its own bus, inside a real flow."""

    class Remembers(Flow[Any]):
        @start()
        def remember(self) -> None:
            end = scope.completes if outcome == "completed" else scope.fails
            assert end is not None
            crewai_event_bus.emit(self, scope.begins(**_fields(scope.begins)))
            crewai_event_bus.emit(self, end(**_fields(end)))

    Remembers().kickoff()
    settle(listener)
    (run,) = look.runs()
    (method,) = look.spans(run.job_id).steps
    (step,) = method.steps
    assert (step.kind, step.outcome) == (scope.kind, outcome)
    assert step.error == ("it broke" if outcome == "failed" else None)


def test_the_example_runs_as_printed_and_may_just_end(address: str, look: Look, tmp_path: Path) -> None:
    here = Path(__file__).parent
    page = (here.parents[1] / "docs" / "instrument.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python crewai\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(block.replace("sqlite:///crews.db", address), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(here)}
    ran = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    for line in re.findall(r"# → (.*)", block):
        assert line in ran.stdout
    (run,) = look.runs()
    assert (run.run_name, run.status, run.result) == ("Researchers", "completed", "42")
