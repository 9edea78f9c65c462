"""When an execution started and ended, what a correction may do, and outcomes that come too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_ledger.domain import (
    Context,
    Correct,
    Create,
    DuplicateJobId,
    Execution,
    ExecutionStatus,
    IllegalTransition,
    InvalidInput,
    LedgerError,
    ReportLateOutcome,
    Update,
)
from support.deciding import LATER, START, Story, names

BECAUSE = Context(reason="the worker told us")
ENDS = ("stopped", "completed", "failed", "rejected", "cancelled")
OPEN = ("pending", "preparing", "running", "waiting_for_approval", "stopping")
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def test_a_new_execution_is_pending_its_first_attempt_and_has_a_made_up_job_id() -> None:
    made = [Execution.decide(None, Create.of({}), Context(), START, "default") for _ in range(2)]
    rows = [next(iter(each.collect_events())).data.changes() for each in made]
    assert all(row["status"] == "pending" and row["attempt"] == 1 and row["created_at"] == START for row in rows)
    assert rows[0]["job_id"] != rows[1]["job_id"]
    assert all(len(row["job_id"]) == 36 for row in rows)


def test_created_at_is_the_callers_else_when_it_happened_else_now() -> None:
    assert Story(created_at=NOON, context=Context(occurred_at=LATER)).row["created_at"] == NOON
    assert Story(context=Context(occurred_at=LATER)).row["created_at"] == LATER
    assert Story().row["created_at"] == START


def test_started_at_is_the_first_time_that_it_ran() -> None:
    story = Story()
    story.ask(Update.of({"status": "preparing"}), now=START)
    assert "started_at" not in story.row
    story.ask(Update.of({"status": "running"}), now=LATER)
    story.ask(Update.of({"status": "waiting_for_approval"}), now=NOON)
    story.ask(Update.by("approved"), now=NOON)
    assert story.row["started_at"] == LATER == story.execution.started_at


def test_started_at_is_the_callers_else_when_it_happened_else_now() -> None:
    given_time, happened, neither = Story(), Story(), Story()
    given_time.ask(Update.of({"status": "running", "started_at": NOON}), Context(occurred_at=LATER))
    happened.ask(Update.of({"status": "running"}), Context(occurred_at=NOON))
    neither.ask(Update.of({"status": "running"}))
    assert [each.row["started_at"] for each in (given_time, happened, neither)] == [NOON, NOON, LATER]


def test_what_is_created_running_has_started_and_what_never_ran_has_not() -> None:
    assert Story("running").row["started_at"] == START
    assert Story("running", started_at=NOON).row["started_at"] == NOON
    story = Story()
    story.ask(Update.of({"status": "completed"}))
    assert "started_at" not in story.row


def test_completed_at_is_the_callers_else_when_it_happened_else_now() -> None:
    given_time, happened, neither = Story(), Story(), Story()
    given_time.ask(Update.of({"status": "failed", "completed_at": NOON}), Context(occurred_at=LATER))
    happened.ask(Update.of({"status": "failed", "completed_at": None}), Context(occurred_at=NOON))
    neither.ask(Update.of({"status": "failed"}))
    assert [each.row["completed_at"] for each in (given_time, happened, neither)] == [NOON, NOON, LATER]


@pytest.mark.parametrize("status", OPEN)
def test_completed_at_without_an_end_is_refused_and_a_null_is_as_good_as_nothing(status: str) -> None:
    story = Story(status, completed_at=None)
    assert story.ask(Update.of({"completed_at": None})) == []
    for attempt in (
        lambda: story.ask(Update.of({"completed_at": NOON})),
        lambda: Story(status, completed_at=NOON),
        lambda: Story().ask(Correct.of({"status": status, "completed_at": NOON}), BECAUSE),
    ):
        with pytest.raises(InvalidInput) as refused:
            attempt()
        assert refused.value.field == "completed_at"
    assert story.execution.version == 1


def test_a_correction_needs_a_reason() -> None:
    with pytest.raises(InvalidInput) as refused:
        Story("failed").ask(Correct.of({"status": "completed"}))
    assert refused.value.field == "reason"


@pytest.mark.parametrize("target", [*OPEN, *ENDS])
@pytest.mark.parametrize("source", [*OPEN, *ENDS])
def test_a_correction_leads_anywhere_and_keeps_completed_at_true(source: str, target: str) -> None:
    story = Story(source)
    events = story.ask(Correct.of({"status": target}), BECAUSE)
    assert names(events) == ([] if source == target else ["execution.corrected"])
    row = story.row
    assert row["status"] == story.execution.status == target
    assert (row.get("completed_at") is not None) == (target in ENDS)
    if source in ENDS and target in ENDS:
        assert row["completed_at"] == START  # when it ended is not what was wrong


def test_a_correction_may_set_what_an_end_has_frozen_and_nothing_impossible() -> None:
    story = Story("failed")
    story.ask(Correct.of({"result": {"ok": True}, "error": None, "completed_at": NOON}), BECAUSE)
    assert (story.row["result"], story.row["error"], story.row["completed_at"]) == ({"ok": True}, None, NOON)
    with pytest.raises(InvalidInput, match="completed_at"):
        story.ask(Correct.of({"completed_at": None}), BECAUSE)
    with pytest.raises(InvalidInput, match="job_id"):
        Correct.of({"job_id": "other"})
    assert story.ask(Correct.of({}), BECAUSE) == []


def test_after_a_correction_the_table_holds_again() -> None:
    story = Story("completed")
    story.ask(Correct.of({"status": "running"}), BECAUSE)
    assert names(story.ask(Update.of({"status": "failed"}))) == ["execution.failed"]
    assert story.row["completed_at"] == LATER


@pytest.mark.parametrize("end", ENDS)
def test_a_late_outcome_is_kept_and_the_status_stays(end: str) -> None:
    story = Story(end, result="first")
    events = story.ask(ReportLateOutcome.of("COMPLETED", {"rows": 3}), Context(occurred_at=NOON))
    assert names(events) == ["execution.late_outcome"]
    assert story.row["late_outcome"] == {
        "status": "completed",
        "result": {"rows": 3},
        "reported_at": "2026-01-31T12:00:00Z",
    }
    assert (story.row["status"], story.row["result"], story.row["completed_at"]) == (end, "first", START)


@pytest.mark.parametrize("status", OPEN)
def test_an_outcome_is_not_late_before_the_end(status: str) -> None:
    with pytest.raises(IllegalTransition, match="not ended"):
        Story(status).ask(ReportLateOutcome.of("failed", error="boom"))


def test_a_late_outcome_must_be_an_outcome() -> None:
    with pytest.raises(InvalidInput, match="terminal"):
        ReportLateOutcome.of("running")


@pytest.mark.parametrize("deleted", [False, True])
def test_a_job_id_is_never_used_again_and_the_error_says_whether_it_was_deleted(deleted: bool) -> None:
    story = Story()
    story.execution.deleted = deleted
    with pytest.raises(DuplicateJobId) as refused:
        story.ask(Create.of({"job_id": "job"}))
    assert (refused.value.key, refused.value.ledger, refused.value.deleted) == ("job", "default", deleted)
    assert ("deleted" in str(refused.value)) == deleted


times = st.none() | st.sampled_from([START, LATER, NOON])
fields: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"status": st.sampled_from(list(ExecutionStatus)), "completed_at": times, "started_at": times}
)
steps = st.lists(st.tuples(st.sampled_from(["update", "correct", "late"]), fields), max_size=12)


@settings(deadline=None)  # a slow machine is no failure
@given(st.sampled_from(list(ExecutionStatus)), steps)
def test_whatever_happens_completed_at_is_set_exactly_for_ended_executions(first: str, story_line: Any) -> None:
    story = Story(first)
    for at, (kind, data) in enumerate(story_line):
        now = LATER + timedelta(minutes=at)
        try:
            if kind == "update":
                story.ask(Update.of(data), now=now)
            elif kind == "correct":
                story.ask(Correct.of(data), BECAUSE, now=now)
            else:
                story.ask(ReportLateOutcome.of(data.get("status", "failed")), now=now)
        except LedgerError:
            pass
        row = story.row
        assert (row.get("completed_at") is not None) == (row["status"] in ENDS)
        assert (story.execution.status, story.execution.started_at) == (row["status"], row.get("started_at"))
        assert story.execution.version == row["version"] == len(story.events)
        restored = Execution.restore(story.execution.state(1), {})
        assert restored.state(1) == story.execution.state(1)
