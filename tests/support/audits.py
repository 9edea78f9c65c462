"""Random histories with people, reasons and pieces of work in them, and a naive filter: nothing of the code's own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st
from model.strategies import outcomes, statuses, steps
from sqlalchemy import Engine

from execution_ledger.domain import (
    Command,
    Context,
    Correct,
    Create,
    Delete,
    FinishStep,
    LedgerError,
    Note,
    ReportLateOutcome,
    StartStep,
    Update,
)
from execution_ledger.infrastructure import EventStore, Request
from support.histories import stored_with_jobs

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOBS = ("job-0", "job-1", "job-2")
ACTORS = ("ada", "bob")
WORKS = ("work-1", "work-2")
TRACES = ("0af7651916cd43dd8448eb211c80319c", "0000000000000000000000000000000f")
WORDS = ("Disk full", "disk_FULL 100%", "Ünwell", "quo\"te \\ '", "line\nline", "full")
PHRASES = ("disk", "FULL", "k f", "k_f", "100%", "Ün", "ün", '"te', "\\", "e\nl", "nothing at all")
_numbers = itertools.count()

_words = st.sampled_from(WORDS)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "error": st.none() | _words,
        "message": st.none() | _words,
        "progress": st.none() | st.floats(0, 1),
        "run_name": _words,
        "result": st.sampled_from([None, {"error": "Disk full"}, [1]]),
        "group_email": st.none() | st.just("a@example.org"),
    },
)
_commands: st.SearchStrategy[Command] = st.one_of(
    _fields.map(Update.of),
    st.builds(lambda status, more: Update.of(more | {"status": status}), statuses, _fields),
    st.builds(lambda status, more: Correct.of(more | {"status": status}), statuses, _fields),
    st.builds(lambda status, more: Create.of(more | {"status": status}), statuses, _fields),
    _words.map(Note.of),
    st.builds(StartStep.of, steps),
    st.builds(lambda step, outcome, error: FinishStep.of(step, outcome, error=error), steps, outcomes, _words),
    st.builds(lambda error: ReportLateOutcome.of("failed", error=error), _words),
    st.just(Delete()),
)


class Told(NamedTuple):
    """One command as it is sent."""

    job: str
    command: Command
    tick: int
    """Seconds that the clock of the writer is before or behind the one of the last command."""
    late: int | None
    actor: str | None
    reason: str | None
    work: str | None
    trace: str | None


told = st.builds(
    Told,
    st.sampled_from(JOBS),
    _commands,
    st.integers(-9, 30),
    st.none() | st.integers(-10, 90),
    st.none() | st.sampled_from(ACTORS),
    st.none() | _words,
    st.none() | st.sampled_from(WORKS),
    st.none() | st.sampled_from(TRACES),
)
histories = st.lists(told, min_size=1, max_size=40)


def new_ledger() -> str:
    """A name that nobody has used."""
    return f"audit-{next(_numbers)}"


def write(engine: Engine, ledger: str, history: Iterable[Told], now: datetime = START) -> datetime:
    """Write a history; what is refused is left out. The clock's last word."""
    store = EventStore(clock=lambda: now)
    with engine.connect() as connection:
        for each in history:
            now += timedelta(seconds=each.tick)
            occurred = None if each.late is None else now - timedelta(seconds=each.late)
            context = Context(
                actor=each.actor,
                reason=each.reason,
                correlation_id=each.work,
                trace_id=each.trace,
                occurred_at=occurred,
            )
            try:
                store.execute(connection, Request(ledger, each.job, each.command, context))
                connection.commit()
            except LedgerError:
                connection.rollback()
    return now


_moments = st.integers(-60, 600).map(lambda seconds: START + timedelta(seconds=seconds))
_types = ("created", "started", "completed", "failed", "corrected", "deleted", "noted", "details_changed", "progressed")
filters: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "actor": st.sampled_from([*ACTORS, "nobody"]),
        "type": st.sampled_from(_types) | st.lists(st.sampled_from(_types), min_size=1, max_size=4),
        "job_id": st.sampled_from([*JOBS, "no such job"]),
        "status": statuses | st.lists(statuses, min_size=1, max_size=3),
        "recorded_from": _moments,
        "recorded_before": _moments,
        "occurred_from": _moments,
        "occurred_before": _moments,
        "correlation_id": st.sampled_from(WORKS),
        "trace_id": st.sampled_from(TRACES),
        "changed_field": st.sampled_from(["status", "error", "message", "progress", "result", "job_id", "completed_at",
                                          "group_email", "late_outcome", "created_at", "inputs"]),
        "text": st.sampled_from(PHRASES),
        "after": st.integers(0, 30),
        "before": st.integers(0, 40),
    },
)  # fmt: skip
few_filters = st.lists(st.sampled_from(range(14)), max_size=3, unique=True).flatmap(
    lambda keep: filters.map(lambda given: {name: each for at, (name, each) in enumerate(given.items()) if at in keep})
)

_REACHED_BY_TYPE = {
    "prepared": "preparing", "started": "running", "approval_requested": "waiting_for_approval", "approved": "running",
    "rejected": "rejected", "stop_requested": "stopping", "stopped": "stopped", "completed": "completed",
    "failed": "failed", "cancelled": "cancelled",
}  # fmt: skip
_NO_FIELDS = ("noted", "step_started", "step_finished", "deleted")


def passes(event: Any, given: dict[str, Any]) -> bool:
    """Whether a stored event passes filters, as their documentation says it."""
    name, data = event.type.partition(".")[2], json.loads(event.data)
    happened = event.occurred_at or event.recorded_at

    def check(what: str, wanted: Any) -> bool:
        match what:
            case "actor" | "correlation_id" | "trace_id" | "job_id":
                return getattr(event, what) == wanted
            case "type":
                return name in ([wanted] if isinstance(wanted, str) else wanted)
            case "status":
                reached = data["status"] if name in ("created", "corrected") and "status" in data else None
                return (reached or _REACHED_BY_TYPE.get(name)) in ([wanted] if isinstance(wanted, str) else wanted)
            case "recorded_from":
                return event.recorded_at >= wanted
            case "recorded_before":
                return event.recorded_at < wanted
            case "occurred_from":
                return happened >= wanted
            case "occurred_before":
                return happened < wanted
            case "changed_field":
                return name not in _NO_FIELDS and wanted in data
            case "text":
                texts = [event.reason, *(data.get(each) for each in ("error", "message", "stop_reason", "text"))]
                return any(_lower(wanted) in _lower(each) for each in texts if each is not None)
            case "after":
                return event.position > wanted
            case "before":
                return event.position < wanted
            case _:
                raise AssertionError(what)

    return all(check(what, wanted) for what, wanted in given.items())


def _lower(text: str) -> str:
    return "".join(each.lower() if each.isascii() else each for each in text)


def expected(engine: Engine, ledger: str, given: dict[str, Any]) -> list[int]:
    """The positions of the events that pass, by a look at every one."""
    return [each.position for each in stored_with_jobs(engine, ledger) if passes(each, given)]
