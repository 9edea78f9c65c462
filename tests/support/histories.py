"""Random histories, written to ledgers of their own, and a fold of the stored text by hand: nothing of the code's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st
from model.strategies import fields, json_values, outcomes, statuses, steps, texts
from sqlalchemy import Engine, select

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
from execution_ledger.infrastructure.tables import execution_events, execution_streams
from execution_ledger.projections import ExecutionSnapshots, RecordedEvent
from execution_ledger.projections.recorded_event import select_events, to_recorded_event

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIMES = ("created_at", "started_at", "completed_at")
COLUMNS = (
    "job_id", "status", "inputs", "result", "error", "message", "run_name", "trigger_type", "execution_type",
    "parent_job_id", "attempt", "progress", "created_at", "started_at", "completed_at", "stop_reason",
    "stop_requested_by", "partial_results", "late_outcome", "group_email", "attributes",
)  # fmt: skip
_numbers = itertools.count()


class Told(NamedTuple):
    """One command as it is sent."""

    job: int
    command: Command
    tick: int
    """Seconds that the writer's clock moves on, or back."""
    late: int | None
    """Seconds that it happened before it was recorded; None where the reporter tells no time."""
    actor: str | None


_commands: st.SearchStrategy[Command] = st.one_of(
    fields().map(Update.of),
    st.builds(lambda status, more: Update.of(more | {"status": status}), statuses, fields(2)),
    st.builds(lambda status: Update.of({"status": status}), st.sampled_from(["running", "completed", "failed"])),
    fields().map(Correct.of),
    st.builds(lambda status: Correct.of({"status": status}), statuses),
    texts.filter(bool).map(Note.of),
    st.builds(lambda step, parent: StartStep.of(step, parent_step_id=parent), steps, st.none() | steps),
    st.builds(lambda step, outcome, result: FinishStep.of(step, outcome, result=result), steps, outcomes, json_values),
    st.builds(ReportLateOutcome.of, st.sampled_from(["completed", "failed"]), json_values),
    st.just(Delete()),
)
_told = st.builds(
    Told,
    st.integers(0, 1),
    _commands,
    st.integers(-5, 60),
    st.none() | st.integers(-10, 90),
    st.none() | st.sampled_from(["ada", "bob"]),
)
histories = st.lists(_told, min_size=1, max_size=25)


def write(engine: Engine, history: Iterable[Told], *, every: int | None = None) -> str:
    """Write a history to a new ledger; what is refused is left out. With `every`, take a snapshot so often."""
    ledger = f"history-{next(_numbers)}"
    now = START

    def clock() -> datetime:
        return now

    store = EventStore(clock=clock)
    with engine.connect() as connection:
        for job in (0, 1):
            store.execute(connection, Request(ledger, f"job-{job}", Create.of({"job_id": f"job-{job}"})))
            connection.commit()
        for told in history:
            now += timedelta(seconds=told.tick)
            occurred = None if told.late is None else now - timedelta(seconds=told.late)
            context = Context(actor=told.actor, reason="why not", occurred_at=occurred)
            try:
                store.execute(connection, Request(ledger, f"job-{told.job}", told.command, context))
                connection.commit()
            except LedgerError:
                connection.rollback()
    if every is not None:
        take_snapshots(engine, ledger, every)
    return ledger


def take_snapshots(
    engine: Engine, ledger: str, every: int, only: Callable[[RecordedEvent], bool] = lambda _: True
) -> None:
    """Run the projection over a ledger as its runner does, each batch twice."""
    projection = ExecutionSnapshots(every)
    events = [to_recorded_event(row) for row in stored_with_jobs(engine, ledger)]
    with engine.begin() as connection:
        for event in itertools.chain(events, events):
            if only(event):
                for statement in projection.statements(event):
                    connection.execute(statement)


def stored_with_jobs(engine: Engine, ledger: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select_events(ledger).order_by(execution_events.c.position)))


def stored(engine: Engine, ledger: str) -> dict[Any, list[Any]]:
    """The stored events of each execution, in order."""
    column = execution_events.c
    statement = select(execution_events).where(column.ledger_id == ledger).order_by(column.version)
    found: dict[Any, list[Any]] = {}
    with engine.connect() as connection:
        for row in connection.execute(statement):
            found.setdefault(row.execution_id, []).append(row)
    return found


def ids(engine: Engine, ledger: str) -> dict[Any, int]:
    """The number of each execution."""
    stream = execution_streams.c
    with engine.connect() as connection:
        rows = connection.execute(select(stream.execution_id, stream.id).where(stream.ledger_id == ledger))
        return {row.execution_id: row.id for row in rows}


def fold(ledger: str, id: int, events: list[Any]) -> dict[str, Any] | None:
    """The row after these events, folded by hand from the JSON text as it is stored."""
    if not events or events[0].type != "execution.created":
        return None
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"ledger_id": ledger, "id": id}
    for event in events:
        if event.type == "execution.deleted":
            return None
        row |= {"execution_id": event.execution_id, "version": event.version, "updated_at": event.recorded_at}
        if event.type in ("execution.step_started", "execution.step_finished", "execution.noted"):
            continue
        for name, value in json.loads(event.data or "{}").items():
            row[name] = datetime.fromisoformat(value) if name in TIMES and value is not None else value
    return row


def exactly(value: Any) -> str:
    """A value as text, so that 1, 1.0 and true are three things."""
    return json.dumps(value, sort_keys=True, default=str)
