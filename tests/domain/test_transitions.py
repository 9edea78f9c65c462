"""The life of an execution, against a matrix written by hand: it shares nothing with the table of the code."""

from __future__ import annotations

import pytest

from execution_ledger.domain import (
    TERMINAL,
    TRANSITIONS,
    Context,
    Correct,
    Delete,
    ExecutionStatus,
    FinishStep,
    IllegalTransition,
    InvalidInput,
    Note,
    StartStep,
    Update,
    find_transition,
)
from support.deciding import LATER, START, Story, names

STATUSES = (
    "pending", "preparing", "running", "waiting_for_approval", "stopping",
    "stopped", "completed", "failed", "rejected", "cancelled",
)  # fmt: skip

# From each status (row) to each status (column, in the order above): "x" may follow, "." may not, "=" is the same one.
MATRIX = """
pending               = x x x x x x x . x
preparing             . = x x x x x x . x
running               . . = x x x x x . x
waiting_for_approval  . . x = x x . x x x
stopping              . . . . = x x x . x
stopped               . . . . . = . . . .
completed             . . . . . . = . . .
failed                . . . . . . . = . .
rejected              . . . . . . . . = .
cancelled             . . . . . . . . . =
"""

EVENT_TO = {
    "preparing": "execution.prepared",
    "running": "execution.started",
    "waiting_for_approval": "execution.approval_requested",
    "stopping": "execution.stop_requested",
    "stopped": "execution.stopped",
    "completed": "execution.completed",
    "failed": "execution.failed",
    "rejected": "execution.rejected",
    "cancelled": "execution.cancelled",
}
ENDS = ("stopped", "completed", "failed", "rejected", "cancelled")


def allowed() -> dict[tuple[str, str], str]:
    rows = [line.split() for line in MATRIX.strip().splitlines()]
    pairs = {(source, target): mark for source, *marks in rows for target, mark in zip(STATUSES, marks, strict=True)}
    events = {pair: EVENT_TO[pair[1]] for pair, mark in pairs.items() if mark == "x"}
    events["waiting_for_approval", "running"] = "execution.approved"
    return events


ALLOWED = allowed()
PAIRS = [(source, target) for source in STATUSES for target in STATUSES]


def test_the_statuses_are_these_ten_in_lower_case() -> None:
    assert tuple(status.value for status in ExecutionStatus) == STATUSES


def test_the_table_says_what_the_matrix_says_and_nothing_else() -> None:
    table = [(row.source.value, row.target.value, f"execution.{row.event}") for row in TRANSITIONS]
    assert sorted(table) == sorted((*pair, event) for pair, event in ALLOWED.items())


def test_terminal_is_what_nothing_leaves() -> None:
    assert {status.value for status in TERMINAL} == set(ENDS)
    assert {status.value for status in ExecutionStatus if status.is_terminal} == set(ENDS)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_change_of_status_gives_the_event_of_the_matrix_or_is_refused(source: str, target: str) -> None:
    story = Story(source)
    command = Update.of({"status": target})
    if source == target:
        assert story.ask(command) == []
    elif (source, target) in ALLOWED:
        assert names(story.ask(command)) == [ALLOWED[source, target]]
        assert story.row["status"] == story.execution.status == target
    else:
        with pytest.raises(IllegalTransition) as refused:
            story.ask(command)
        assert (refused.value.job_id, refused.value.source) == ("job", source)
        assert target in str(refused.value)
        assert story.row["status"] == story.execution.status == source
        assert story.execution.version == 1
    row = find_transition(ExecutionStatus(source), ExecutionStatus(target))
    assert (row is not None) == ((source, target) in ALLOWED)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_completed_at_is_set_exactly_when_the_status_is_terminal(source: str, target: str) -> None:
    story = Story(source)
    assert (story.row.get("completed_at") is not None) == (source in ENDS)
    if (source, target) in ALLOWED:
        story.ask(Update.of({"status": target}))
        assert (story.row.get("completed_at") == LATER) == (target in ENDS)


def test_a_refusal_says_what_is_possible_instead() -> None:
    with pytest.raises(
        IllegalTransition, match="It can become: running, rejected, stopping, stopped, failed, cancelled"
    ):
        Story("waiting_for_approval").ask(Update.of({"status": "completed"}))
    with pytest.raises(IllegalTransition, match="correct it with a reason"):
        Story("stopped").ask(Update.of({"status": "completed"}))


def test_of_approve_and_reject_only_the_first_wins() -> None:
    approved = Story("waiting_for_approval")
    approved.ask(Update.by("approved"))
    with pytest.raises(IllegalTransition):
        approved.ask(Update.by("rejected"))
    rejected = Story("waiting_for_approval")
    rejected.ask(Update.by("rejected"))
    with pytest.raises(IllegalTransition):
        rejected.ask(Update.by("approved"))
    assert (approved.row["status"], rejected.row["status"]) == ("running", "rejected")


def test_an_event_by_name_insists_on_its_own_row_of_the_table() -> None:
    assert names(Story("waiting_for_approval").ask(Update.by("approved"))) == ["execution.approved"]
    with pytest.raises(IllegalTransition, match="approved"):
        Story("pending").ask(Update.by("approved"))
    with pytest.raises(IllegalTransition, match="started"):
        Story("waiting_for_approval").ask(Update.by("started"))


def test_an_unknown_event_by_name_is_bad_input_that_lists_the_names() -> None:
    with pytest.raises(InvalidInput, match="approval_requested") as refused:
        Update.by("approve")
    assert refused.value.field == "event"


@pytest.mark.parametrize("status", STATUSES)
def test_the_same_status_again_gives_no_event_but_a_changed_label_does(status: str) -> None:
    story = Story(status)
    assert story.ask(Update.of({"status": status.upper()})) == []
    assert names(story.ask(Update.of({"status": status, "message": "still"}))) == ["execution.details_changed"]
    assert story.row["status"] == status


@pytest.mark.parametrize("end", ENDS)
def test_the_same_end_told_twice_keeps_its_first_time(end: str) -> None:
    story = Story("running") if end != "rejected" else Story("waiting_for_approval")
    story.ask(Update.of({"status": end, "completed_at": START}))
    assert story.ask(Update.of({"status": end, "completed_at": LATER})) == []
    assert story.row["completed_at"] == START


@pytest.mark.parametrize("end", ENDS)
def test_an_ended_execution_takes_labels_and_nothing_that_is_part_of_the_outcome(end: str) -> None:
    story = Story(end)
    labels = {"message": "m", "run_name": "n", "group_email": "g@example.org", "attributes": {"a": 1}}
    assert names(story.ask(Update.of(labels))) == ["execution.details_changed"]
    for name, value in {
        "result": 1, "error": "e", "inputs": 1, "progress": 1, "started_at": START, "completed_at": START,
        "created_at": START, "stop_reason": "r", "partial_results": [], "attempt": 2, "parent_job_id": "p",
        "trigger_type": "t", "execution_type": "e", "stop_requested_by": "s",
    }.items():  # fmt: skip
        with pytest.raises(IllegalTransition, match=name):
            story.ask(Update.of({name: value}))
    with pytest.raises(IllegalTransition):
        story.ask(StartStep.of("step"))
    assert story.execution.version == 2


def test_notes_deletion_and_the_end_of_a_step_are_possible_after_the_end() -> None:
    story = Story("running")
    story.ask(StartStep.of("step"))
    story.ask(Update.of({"status": "cancelled"}))
    events = story.ask(Note.of("too late")) + story.ask(FinishStep.of("step", "cancelled")) + story.ask(Delete())
    assert names(events) == ["execution.noted", "execution.step_finished", "execution.deleted"]


def test_progress_has_its_own_event_and_other_fields_the_general_one() -> None:
    story = Story("running")
    assert names(story.ask(Update.of({"progress": 0.5}))) == ["execution.progressed"]
    assert names(story.ask(Update.of({"progress": 0.6, "message": "half"}))) == ["execution.progressed"]
    assert names(story.ask(Update.of({"message": "half"}))) == ["execution.details_changed"]
    assert names(story.ask(Update.of({"progress": 0.7, "result": 1}))) == ["execution.details_changed"]
    assert story.ask(Update.of({})) == []


def test_no_event_is_recorded_earlier_than_the_one_before() -> None:
    story = Story("running", now=LATER)
    (event,) = story.ask(Note.of("the clock jumped back"), now=START)
    assert event.timestamp == LATER


def test_a_correction_is_an_event_of_its_own_even_where_a_transition_would_do() -> None:
    events = Story("running").ask(Correct.of({"status": "failed"}), Context(reason="it crashed"))
    assert names(events) == ["execution.corrected"]
