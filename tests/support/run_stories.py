"""Random runs written to ledgers of their own, and what their statistics are, counted by hand from the stored text."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st
from sqlalchemy import Engine

from execution_ledger.domain import (
    Command,
    Context,
    Correct,
    Create,
    Delete,
    LedgerError,
    Note,
    ReportLateOutcome,
    StartStep,
    Update,
)
from execution_ledger.infrastructure import EventStore, Request
from execution_ledger.projections import RecordedEvent
from execution_ledger.projections.statistics import failure_reason

START = datetime(2026, 3, 1, 21, 30, tzinfo=UTC)  # so that stories of a few hours cross hours and a day
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JOBS = 4
ENDS = ("stopped", "completed", "failed", "rejected", "cancelled")
_OPEN = ("pending", "preparing", "running", "waiting_for_approval", "stopping")
_LONGEST = timedelta(microseconds=10**15)
_numbers = itertools.count()

_names = st.sampled_from([None, "", "nightly", "ad hoc", "Ünïcode 🚀 \"'{"])
# Mostly such as a right clock tells, and a few that none can.
_times = st.one_of(
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 4), timezones=st.just(UTC)),
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 4), timezones=st.just(UTC)),
    st.sampled_from([datetime(1960, 2, 3, 4, 5, 6, 7), EPOCH, datetime(2090, 1, 1), datetime(9999, 12, 30)]),
)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "run_name": _names,
        "execution_type": st.sampled_from([None, "crew", "flow"]),
        "error": st.sampled_from([None, "Disk full", "no run 17", "no run 18", "a\nb", "x" * 300]),
        "attempt": st.integers(1, 3),
        "started_at": st.none() | _times,
        "message": st.just("m"),
    },
)
_ended = st.fixed_dictionaries({"status": st.sampled_from(ENDS)}, optional={"completed_at": _times})
_running = st.just({"status": "running"})
_moved = st.fixed_dictionaries({"status": st.sampled_from(_OPEN)})
_created = st.fixed_dictionaries({}, optional={"created_at": _times})


def _more(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda each: {name: value for part in each for name, value in part.items()})


class Told(NamedTuple):
    """One command as it is sent."""

    job: int
    command: Command
    tick: float
    """Seconds that the writer's clock moves on, or back."""
    late: int | None
    """Seconds that it happened before it was recorded; None where the reporter tells no time."""


_commands: st.SearchStrategy[Command] = st.one_of(
    _more(_fields, _created, st.one_of(st.just({}), _running, _ended)).map(Create.of),
    _more(_fields, _running).map(Update.of),
    _more(_fields, _ended).map(Update.of),
    _more(_fields, _ended).map(Update.of),
    _more(_fields, _moved).map(Update.of),
    _fields.map(Update.of),
    _more(_fields, st.one_of(st.just({}), _ended, _running)).map(Correct.of),
    st.builds(ReportLateOutcome.of, st.sampled_from(["completed", "failed"])),
    st.just(Update.of({"progress": 0.5})),
    st.just(Note.of("a note")),
    st.builds(StartStep.of, st.sampled_from(["one", "two"])),
    st.just(Delete()),
)
stories = st.lists(
    st.builds(
        Told,
        st.integers(0, JOBS - 1),
        _commands,
        st.sampled_from([0, 0.0001, 0.25, 7, 300, 4_000, -5]),
        st.none() | st.integers(-10, 9_000),
    ),
    min_size=1,
    max_size=30,
)


def write_story(engine: Engine, story: Iterable[Told]) -> str:
    """Write a story to a new ledger; what is refused is left out."""
    ledger = f"story-{next(_numbers)}"
    now = START

    def clock() -> datetime:
        return now

    store = EventStore(clock=clock)
    with engine.connect() as connection:
        for told in story:
            now += timedelta(seconds=told.tick)
            occurred = None if told.late is None else now - timedelta(seconds=told.late)
            context = Context(reason="why not", occurred_at=occurred)
            job, command = f"job-{told.job}", told.command
            if isinstance(command, Create):
                command = Create.of({**command.details.changes(), "job_id": job})
            try:
                store.execute(connection, Request(ledger, job, command, context))
                connection.commit()
            except LedgerError:
                connection.rollback()
    return ledger


@dataclass
class Run:
    """What is to be counted of a run."""

    row: dict[str, Any]
    ended_at: datetime
    is_deleted: bool = False

    def known(self, name: str) -> datetime | None:
        value = self.row.get(name)
        time = datetime.fromisoformat(value) if value else None
        return time if time is not None and time > EPOCH else None

    def length(self, begin: datetime | None, end: datetime | None) -> int | None:
        if begin is None or end is None or not timedelta(0) <= end - begin < _LONGEST:
            return None
        return (end - begin) // timedelta(microseconds=1)

    @property
    def duration(self) -> int | None:
        return self.length(self.known("started_at"), self.ended_at)

    @property
    def queue_time(self) -> int | None:
        return self.length(self.known("created_at"), self.known("started_at"))

    @property
    def is_late(self) -> bool:
        return self.row.get("late_outcome") is not None

    @property
    def hour(self) -> int:
        return (self.ended_at - EPOCH) // timedelta(hours=1)

    @property
    def day(self) -> int:
        return self.hour // 24

    @property
    def run_name(self) -> str:
        return self.row.get("run_name") or ""

    @property
    def execution_type(self) -> str:
        return self.row.get("execution_type") or ""

    @property
    def reason(self) -> str:
        return failure_reason(self.row.get("error"))


@dataclass
class Counts:
    """What is counted in one group."""

    outcomes: Counter[str] = field(default_factory=Counter)
    late: int = 0
    durations: list[int] = field(default_factory=list)
    queue_times: list[int] = field(default_factory=list)

    def add(self, run: Run) -> None:
        self.outcomes[run.row["status"]] += 1
        self.late += run.is_late
        self.durations += [] if run.duration is None else [run.duration]
        self.queue_times += [] if run.queue_time is None else [run.queue_time]


def ended_runs(events: Sequence[RecordedEvent]) -> list[Run]:
    """The runs of a ledger that have ended, folded one event after the other; a deletion takes nothing away."""
    runs: dict[str, Run] = {}
    for event in events:
        data = event.data or {}
        run = runs.setdefault(event.job_id, Run({}, EPOCH))
        if event.type == "execution.deleted":
            run.is_deleted = True
        if event.type not in ("execution.step_started", "execution.step_finished", "execution.noted"):
            run.row |= data
        if data.get("completed_at"):
            run.ended_at = run.known("completed_at") or event.at
    return [run for run in runs.values() if run.row["status"] in ENDS]


def count(runs: Iterable[Run], *names: str) -> dict[tuple[Any, ...], Counts]:
    """Counts by the attributes of runs that are named."""
    groups: dict[tuple[Any, ...], Counts] = defaultdict(Counts)
    for run in runs:
        groups[tuple(getattr(run, name) for name in names)].add(run)
    return dict(groups)
