"""What a lease allows, and what becomes of a worker that lost it. No database: the rules alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from execution_ledger.domain import (
    TERMINAL,
    Command,
    Context,
    Correct,
    Create,
    Delete,
    Execution,
    ExecutionStatus,
    Expire,
    FinishStep,
    Held,
    IllegalTransition,
    InvalidInput,
    LeaseHeld,
    LeaseLost,
    Note,
    ReportLateOutcome,
    StartStep,
    Update,
    check_ttl,
)
from support.deciding import LATER, NOBODY, START, Story, names

OPEN = tuple(status for status in ExecutionStatus if status not in TERMINAL)
EXPIRED = START + timedelta(minutes=20)
EXPIRE = Expire(token=3, holder="box:7", expired_at=EXPIRED)


class Leased(Story):
    """An execution whose newest lease has token 3."""

    def __init__(self, status: str = "running", **fields: Any) -> None:
        super().__init__(status, **fields)
        self.execution.lease_token = 3

    def tell(self, command: Command, lease: int | None, context: Context = NOBODY) -> list[Any]:
        """The new events that the command gives under a token."""
        self.execution = Execution.decide(self.execution, command, context, LATER, "default", lease)
        new = list(self.execution.collect_events())
        self.events += new
        return new


COMMANDS: list[Command] = [
    Update.of({"progress": 0.5}),
    Update.of({}),
    Update.of({"status": "completed"}),
    Update.by("stop_requested"),
    Correct.of({"status": "failed"}),
    StartStep.of("s"),
    FinishStep.of("s"),
    Note.of("n"),
    Delete(),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
@pytest.mark.parametrize("token", [1, 2, 4])
def test_a_command_under_another_token_than_the_newest_is_refused(command: Command, token: int) -> None:
    story = Leased()
    with pytest.raises(LeaseLost) as refused:
        story.tell(command, token)
    assert (refused.value.key, refused.value.token) == ("job", token)
    assert "Stop the work" in str(refused.value)


@pytest.mark.parametrize("lease", [None, 3])
def test_under_the_newest_token_or_none_everything_is_as_ever(lease: int | None) -> None:
    story = Leased()
    assert names(story.tell(Update.of({"progress": 0.5}), lease)) == ["execution.progressed"]
    assert story.tell(Update.of({"status": "running"}), lease) == []
    assert names(story.tell(Update.of({"status": "completed", "result": 1}), lease)) == ["execution.completed"]
    assert story.tell(Update.of({"status": "completed"}), lease) == []
    assert names(story.tell(Update.of({"status": "completed", "message": "m"}), lease)) == ["execution.details_changed"]
    with pytest.raises(IllegalTransition):
        story.tell(Update.of({"error": "e"}), lease)
    with pytest.raises(IllegalTransition):
        story.tell(Update.of({"status": "running"}), lease)


@pytest.mark.parametrize("lease", [2, 3])
@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_an_outcome_after_the_end_is_kept_whatever_the_token(status: str, lease: int) -> None:
    story = Leased(status)
    told = {"status": "completed", "result": {"rows": 3}, "progress": 1.0, "message": "done", "completed_at": EXPIRED}
    assert names(story.tell(Update.of(told), lease)) == ["execution.late_outcome"]
    kept = {name: value for name, value in told.items() if name != "completed_at"}
    assert story.row["late_outcome"] == kept | {
        "completed_at": "2026-01-31T08:20:00Z",
        "reported_at": "2026-01-31T09:00:00Z",
    }
    assert (story.row["status"], "result" in story.row) == (status, False)


@pytest.mark.parametrize("lease", [2, 3])
def test_the_same_end_told_twice_is_no_news(lease: int) -> None:
    story = Leased("failed")
    assert story.tell(Update.of({"status": "FAILED", "completed_at": EXPIRED}), lease) == []
    told = {"status": "failed", "error": "what really went wrong"}
    assert names(story.tell(Update.of(told), lease)) == ["execution.late_outcome"]
    assert story.row["late_outcome"] == told | {"reported_at": "2026-01-31T09:00:00Z"}
    assert "error" not in story.row


@pytest.mark.parametrize("lease", [None, 2, 3])
def test_a_late_outcome_that_says_so_needs_no_lease(lease: int | None) -> None:
    story = Leased("cancelled")
    told = ReportLateOutcome.of("completed", {"rows": 3})
    assert names(story.tell(told, lease, Context(occurred_at=EXPIRED))) == ["execution.late_outcome"]
    assert story.row["late_outcome"] == {
        "status": "completed",
        "result": {"rows": 3},
        "reported_at": "2026-01-31T08:20:00Z",
    }


def test_without_a_lease_an_outcome_after_the_end_is_refused_as_ever() -> None:
    with pytest.raises(IllegalTransition):
        Leased("failed").tell(Update.of({"status": "completed"}), None)


@pytest.mark.parametrize("command", [Note.of("n"), Update.of({"progress": 1.0}), Update.of({"status": "running"})])
def test_what_is_no_outcome_is_refused_after_the_end_as_before(command: Command) -> None:
    with pytest.raises(LeaseLost):
        Leased("failed").tell(command, 2)


def test_what_is_not_there_yet_has_no_lease() -> None:
    with pytest.raises(InvalidInput, match="lease: is on nothing yet"):
        Execution.decide(None, Create.of({}), NOBODY, START, "default", 1)


@pytest.mark.parametrize("status", OPEN)
def test_an_expired_lease_ends_the_run(status: str) -> None:
    story = Leased(status)
    ended = "stopped" if status == "stopping" else "failed"
    assert names(story.ask(EXPIRE)) == [f"execution.{ended}"]
    assert (story.row["status"], story.row["completed_at"]) == (ended, EXPIRED)
    error = "The lease of box:7 expired at 2026-01-31T08:20:00Z and was not renewed: "
    assert story.row.get("error") == (None if ended == "stopped" else error + story.row["error"].partition(": ")[2])
    assert story.execution.lease_token == 4, "what still writes under the old token is fenced off"


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_what_has_ended_is_not_ended_again(status: str) -> None:
    story = Leased(status)
    assert story.ask(EXPIRE) == []
    assert story.execution.lease_token == 3


def test_a_run_is_ended_once() -> None:
    story = Leased()
    assert len(story.ask(EXPIRE)) == 1
    assert story.ask(EXPIRE) == []


def test_a_lease_that_was_taken_anew_does_not_end_the_run() -> None:
    story = Leased()
    story.execution.lease_token = 4
    with pytest.raises(LeaseLost):
        story.ask(EXPIRE)


def test_a_run_does_not_end_before_the_last_that_is_known_of_it() -> None:
    story = Leased()
    story.ask(Note.of("later than the lease"), now=LATER)
    story.ask(EXPIRE, now=LATER)
    assert story.row["completed_at"] == LATER


def test_an_outcome_after_the_reaper_is_kept_beside_its_end() -> None:
    story = Leased()
    story.ask(EXPIRE)
    assert names(story.tell(Update.of({"status": "completed", "result": 42}), 3)) == ["execution.late_outcome"]
    assert (story.row["status"], story.row["late_outcome"]["result"]) == ("failed", 42)
    with pytest.raises(LeaseLost):
        story.tell(Note.of("n"), 3)


def test_each_lease_has_a_higher_token() -> None:
    execution = Leased().execution
    assert execution.grant("a", None, START) == 4
    assert execution.grant("a", Held(3, "b", START), START) == 4, "it expires at that very moment"


def test_a_lease_of_somebody_else_is_in_the_way_until_it_expires() -> None:
    execution = Leased().execution
    held = Held(3, "b", EXPIRED)
    with pytest.raises(LeaseHeld) as refused:
        execution.grant("a", held, EXPIRED - timedelta(microseconds=1))
    assert (refused.value.key, refused.value.holder, refused.value.until) == ("job", "b", EXPIRED)
    assert execution.grant("a", held, EXPIRED) == 4


def test_a_holder_may_take_its_own_lease_anew() -> None:
    assert Leased().execution.grant("b", Held(3, "b", EXPIRED), START) == 4


@pytest.mark.parametrize("status", OPEN)
def test_whatever_has_not_ended_can_be_leased(status: str) -> None:
    assert Story(status).execution.grant("a", None, START) == 1


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nobody_works_on_what_has_ended(status: str) -> None:
    with pytest.raises(IllegalTransition, match=f"is {status}: nobody can take a lease on it"):
        Story(status).execution.grant("a", None, START)


@pytest.mark.parametrize("seconds", [0.1, 1, 30, 86_400])
def test_a_lease_lasts_a_tenth_of_a_second_to_a_day(seconds: float) -> None:
    assert check_ttl(seconds) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", [0, -1, 0.09, 86_401, float("nan"), float("inf"), True, "30", None, datetime.now(UTC)]
)
def test_other_lengths_are_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"ttl: .* Send seconds, from 0\.1 to 86400\."):
        check_ttl(value)
