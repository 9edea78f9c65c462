from __future__ import annotations

from datetime import timedelta

import pytest

from execution_ledger.domain import (
    Context,
    FinishStep,
    IllegalTransition,
    InvalidInput,
    Note,
    StartStep,
    StepConflict,
    UnknownStep,
    Update,
)
from support.deciding import LATER, START, Story, names


def test_a_step_starts_and_finishes_with_its_own_events() -> None:
    story = Story("running")
    (started,) = story.ask(StartStep.of("load", "Load it", kind="task", attributes={"rows": 3}))
    (finished,) = story.ask(FinishStep.of("load", "FAILED", error="no disk", result=[1]))
    assert names([started, finished]) == ["execution.step_started", "execution.step_finished"]
    assert started.data.step() == {
        "step_id": "load", "parent_step_id": None, "name": "Load it", "kind": "task", "started_at": LATER,
    }  # fmt: skip
    assert started.data.attributes == {"rows": 3}
    assert finished.data.step() == {"step_id": "load", "outcome": "failed", "finished_at": LATER}
    assert (finished.data.error, finished.data.result) == ("no disk", [1])


def test_the_name_of_a_step_is_its_id_unless_told() -> None:
    (event,) = Story("running").ask(StartStep.of("load"))
    assert event.data.name == "load"


def test_times_of_steps_are_the_callers_else_when_it_happened_else_now() -> None:
    story = Story("running")
    happened = Context(occurred_at=START + timedelta(minutes=1))
    (by_caller,) = story.ask(StartStep.of("a", started_at=START), happened)
    (by_context,) = story.ask(StartStep.of("b"), happened)
    (ended,) = story.ask(FinishStep.of("a", finished_at=START + timedelta(minutes=2)), happened)
    assert by_caller.data.started_at == START
    assert by_context.data.started_at == happened.occurred_at
    assert ended.data.finished_at == START + timedelta(minutes=2)


@pytest.mark.parametrize("status", ["pending", "preparing", "running", "waiting_for_approval", "stopping"])
def test_steps_start_in_any_status_but_an_ended_one(status: str) -> None:
    assert names(Story(status).ask(StartStep.of("s"))) == ["execution.step_started"]


@pytest.mark.parametrize("status", ["stopped", "completed", "failed", "rejected", "cancelled"])
def test_no_step_starts_after_the_end(status: str) -> None:
    with pytest.raises(IllegalTransition, match="no step"):
        Story(status).ask(StartStep.of("s"))


def test_steps_nest_as_long_as_the_outer_one_is_open() -> None:
    story = Story("running")
    story.ask(StartStep.of("outer"))
    (inner,) = story.ask(StartStep.of("inner", parent_step_id="outer"))
    assert inner.data.parent_step_id == "outer"
    story.ask(FinishStep.of("outer"))  # an inner step may outlive it
    with pytest.raises(StepConflict, match="has ended") as refused:
        story.ask(StartStep.of("late", parent_step_id="outer"))
    assert refused.value.step_id == "outer"
    assert names(story.ask(FinishStep.of("inner"))) == ["execution.step_finished"]


def test_a_step_inside_an_unknown_one_or_inside_itself_is_refused() -> None:
    story = Story("running")
    for parent in ("nowhere", "s"):
        with pytest.raises(UnknownStep) as refused:
            story.ask(StartStep.of("s", parent_step_id=parent))
        assert (refused.value.job_id, refused.value.step_id) == ("job", parent)
    assert story.execution.version == 1


def test_a_step_starts_once() -> None:
    story = Story("running")
    story.ask(StartStep.of("s"))
    with pytest.raises(StepConflict, match="started before"):
        story.ask(StartStep.of("s"))
    story.ask(FinishStep.of("s"))
    with pytest.raises(StepConflict, match="started before"):
        story.ask(StartStep.of("s", "another name"))


def test_a_step_ends_once_and_the_same_outcome_again_is_no_news() -> None:
    story = Story("running")
    story.ask(StartStep.of("s"))
    story.ask(FinishStep.of("s", "skipped"))
    assert story.ask(FinishStep.of("s", "skipped")) == []
    for other in (FinishStep.of("s", "failed"), FinishStep.of("s", "skipped", result=1)):
        with pytest.raises(StepConflict, match="ended \\(skipped\\)"):
            story.ask(other)


def test_an_unknown_step_cannot_end_nor_have_notes() -> None:
    story = Story("running")
    for command in (FinishStep.of("s"), Note.of("text", step_id="s")):
        with pytest.raises(UnknownStep):
            story.ask(command)


def test_a_worker_that_reports_late_can_still_end_its_step() -> None:
    story = Story("running")
    story.ask(StartStep.of("s"))
    story.ask(Update.of({"status": "stopped"}))
    assert names(story.ask(FinishStep.of("s", "completed"))) == ["execution.step_finished"]


def test_a_note_keeps_its_text_level_source_step_and_data() -> None:
    story = Story("running")
    story.ask(StartStep.of("s"))
    (event,) = story.ask(Note.of("line", level="ERROR", source="stderr", step_id="s", data={"n": 1}))
    told = event.data
    assert (event.TOPIC, told.text, told.level, told.source, told.step_id, told.data) == (
        "execution.noted", "line", "error", "stderr", "s", {"n": 1},
    )  # fmt: skip
    assert story.row["version"] == 3


def test_a_command_names_the_steps_that_it_needs_to_know() -> None:
    assert StartStep.of("a", parent_step_id="b").step_ids() == {"a", "b"}
    assert FinishStep.of("a").step_ids() == {"a"}
    assert Note.of("x", step_id="a").step_ids() == {"a"}
    assert Note.of("x").step_ids() == frozenset()


@pytest.mark.parametrize("outcome", ["completed", "FAILED", "Cancelled", "skipped"])
def test_outcomes_of_steps_are_taken_in_any_case(outcome: str) -> None:
    assert FinishStep.of("s", outcome).outcome == outcome.lower()


def test_unknown_outcomes_and_levels_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="completed, failed, cancelled, skipped") as refused:
        FinishStep.of("s", "done")
    assert refused.value.field == "outcome"
    with pytest.raises(InvalidInput, match="debug, info, warning, error"):
        Note.of("text", level="fatal")
