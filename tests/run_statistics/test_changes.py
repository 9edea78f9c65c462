"""What events say of a run, and which statements that gives: no database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite

from execution_ledger.projections import RunStatistics
from execution_ledger.projections.statistics.changes import TYPES, event_facts, fold_changes
from support.projecting import NOON, make_event

AT = int(NOON.timestamp()) * 10**6


@pytest.mark.parametrize(
    ("name", "data", "facts"),
    [
        (
            "created",
            {"job_id": "j", "status": "pending", "attempt": 1, "run_name": "n", "created_at": "2026-03-01T12:00:00Z"},
            {"attempt": 1, "run_name": "n", "created": AT},
        ),
        ("started", {"status": "running", "started_at": "2026-03-01T12:00:00.000007Z"}, {"started": AT + 7}),
        ("prepared", {"status": "preparing"}, {}),
        ("prepared", {"status": "preparing", "execution_type": "flow"}, {"execution_type": "flow"}),
        (
            "completed",
            {"status": "completed", "completed_at": "2026-03-01T12:00:01Z"},
            {"outcome": "completed", "ended": AT + 10**6},
        ),
        (
            "failed",
            {"status": "failed", "completed_at": "2026-03-01T12:00:00Z", "error": "no 7"},
            {"outcome": "failed", "ended": AT, "error": "no <n>"},
        ),
        ("details_changed", {"run_name": None, "message": "m"}, {"run_name": ""}),
        ("details_changed", {"started_at": None, "error": None}, {"started": 0, "error": ""}),
        ("corrected", {"status": "running", "completed_at": None}, {"outcome": ""}),
        ("corrected", {"completed_at": "2026-03-01T12:00:00Z"}, {"ended": AT}),
        ("corrected", {"status": "stopped"}, {"outcome": "stopped"}),
        ("late_outcome", {"late_outcome": {"status": "completed"}}, {"late": 1}),
        ("deleted", {}, {"deleted": 1}),
        # A clock that was never set: the ledger's own tells the end, and the start is unknown.
        (
            "completed",
            {"status": "completed", "completed_at": "1969-12-31T00:00:00Z", "started_at": "1960-01-01T00:00:00Z"},
            {"outcome": "completed", "ended": AT, "started": 0},
        ),
    ],
)
def test_an_event_sets_facts(name: str, data: dict[str, Any], facts: dict[str, Any]) -> None:
    assert event_facts(make_event(1, "j", name, data=data)) == facts


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("created", {"created": AT}),
        ("failed", {"outcome": "failed", "ended": AT}),
        ("stopped", {"outcome": "stopped", "ended": AT}),
        ("late_outcome", {"late": 1}),
        ("details_changed", {}),
    ],
)
def test_an_erased_payload_leaves_what_the_type_tells(name: str, facts: dict[str, Any]) -> None:
    assert event_facts(make_event(1, "j", name, data=None)) == facts


def test_the_time_of_what_occurred_comes_before_that_of_the_record() -> None:
    occurred = NOON - timedelta(hours=3)
    facts = event_facts(make_event(1, "j", "failed", data=None, occurred_at=occurred))
    assert facts["ended"] == AT - 3 * 3600 * 10**6


def test_changes_of_one_run_become_one() -> None:
    events = [
        make_event(1, "a", "created", data={"run_name": "old", "created_at": "2026-03-01T12:00:00Z"}),
        make_event(2, "b", "created", data={"created_at": "2026-03-01T12:00:00Z"}),
        make_event(3, "a", "details_changed", data={"run_name": "new"}),
        make_event(4, "a", "prepared", data={"status": "preparing"}),
        make_event(5, "b", "deleted"),
    ]
    found = [(each.job_id, each.position, each.facts) for each in fold_changes(events)]
    assert found == [("a", 3, {"run_name": "new", "created": AT}), ("b", 5, {"created": AT, "deleted": 1})]


@pytest.mark.parametrize(
    ("name", "data", "tables"),
    [
        ("created", {"status": "pending"}, ["run_facts"]),
        ("created", {"status": "failed"}, ["run_statistics", "run_facts"]),
        ("started", {"started_at": "2026-03-01T12:00:00Z"}, ["run_facts"]),
        ("prepared", {"status": "preparing"}, []),
        ("details_changed", {"message": "m"}, []),
        ("details_changed", {"run_name": "n"}, ["run_statistics", "run_statistics", "run_facts"]),
        ("completed", {"status": "completed"}, ["run_statistics", "run_facts"]),
        ("corrected", {"status": "failed"}, ["run_statistics", "run_statistics", "run_facts"]),
        ("corrected", {"error": "e"}, ["run_facts"]),
        ("late_outcome", {}, ["run_statistics", "run_statistics", "run_facts"]),
        ("deleted", {}, ["run_facts"]),
    ],
)
def test_an_event_gives_statements(name: str, data: dict[str, Any], tables: list[str]) -> None:
    event = make_event(1, "j", name, data=data)
    statements: list[Any] = list(RunStatistics().statements(event))
    assert [each.table.name for each in statements] == tables


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
def test_the_same_event_gives_the_same_statements_on_any_database(dialect: Dialect) -> None:
    def sent() -> list[Any]:
        statements: Any = RunStatistics().statements(make_event(1, "j", "corrected", data={"status": "failed"}))
        return [(str(compiled), compiled.params) for each in statements if (compiled := each.compile(dialect=dialect))]

    assert sent() == sent()
    assert len(sent()) == 3


def test_facts_are_moved_on_last_so_that_what_counts_sees_what_they_were() -> None:
    statements: list[Any] = list(RunStatistics().batch([make_event(1, "j", "corrected", data={"status": "failed"})]))
    assert [type(each).__name__ for each in statements] == ["Insert", "Delete", "Insert"]
    assert statements[-1].table.name == "run_facts"


def test_a_batch_of_none_gives_no_statement() -> None:
    assert list(RunStatistics().batch([])) == []


def test_events_that_change_no_fact_are_not_asked_for() -> None:
    assert not TYPES & {"execution.progressed", "execution.noted", "execution.step_started", "execution.step_finished"}
    assert {"execution.created", "execution.deleted", "execution.late_outcome", "execution.corrected"} <= TYPES
