"""Two runs side by side, step by step, with the first divergence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection

from ...domain import StepFinish, StepStart, UnknownExecution
from ...infrastructure.codec import decode_event
from ...infrastructure.entity import EXECUTIONS
from ..sources import REMOVED, Point
from ..states import make_row, read_events
from .align import align
from .diff import Change, diff_rows
from .moments import Moment
from .state import Run, find_run, resolve
from .step_changes import STEP_TYPES, read_pages

_OWN = frozenset({"ledger_id", "id", "job_id", "execution_id", "version"})
_TIMES = frozenset({"created_at", "started_at", "updated_at", "completed_at"})
_OUTCOME = ("status", "error", "result", "partial_results", "stop_reason")
_BATCH = 50
"""Pairs of steps whose payloads are compared at once."""


class RunStep(msgspec.Struct, kw_only=True):
    """A step of one of the runs, without its payload."""

    step_id: str
    name: str
    kind: str | None
    parent_step_id: str | None
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = None
    start_version: int
    finish_version: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it lasts."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()


class StepPair(msgspec.Struct, kw_only=True):
    """The same step in both runs, or a step that only one of them has."""

    left: RunStep | None
    right: RunStep | None
    moved: bool = False
    """Whether it came after a step in one run that it came before in the other, neither of them at the same time."""
    differences: list[Change] = []
    """What differs in outcome, error, result and attributes; `before` is of the left run, `after` of the right one."""

    @property
    def diverges(self) -> bool:
        """Whether it tells the runs apart; how long it took does not."""
        return self.left is None or self.right is None or self.moved or bool(self.differences)


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Where two runs part."""

    where: Literal["inputs", "step", "outcome"]
    step: StepPair | None = None
    differences: list[Change]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs side by side."""

    left: str
    right: str
    """Job ids."""
    left_seconds: float | None
    right_seconds: float | None
    """From the start, or else the creation, to the end; None while a run lasts."""
    differences: list[Change]
    """What differs in their fields but for names of their own and times; `before` is of the left run."""
    steps: list[StepPair]
    """In the order of the left run; a step that only the right one has stands behind the one it followed there."""
    first_divergence: Divergence | None
    """Inputs first, then step by step, then how they ended; None where the runs went the same way."""


def compare_runs(connection: Connection, ledger: str, left: str, right: str) -> Comparison:
    """Compare two runs of one ledger. What their steps say is read in batches; only what differs is kept."""
    runs = [_known(connection, ledger, job_id) for job_id in (left, right)]
    rows = [_row(connection, ledger, run) for run in runs]
    pairs = [
        StepPair(left=a, right=b, moved=moved)
        for a, b, moved in align(*(list(_steps(connection, ledger, run)) for run in runs))
    ]
    for at in range(0, len(pairs), _BATCH):
        _compare_payloads(connection, ledger, runs, pairs[at : at + _BATCH])
    one, other = ({name: row[name] for name in row if name not in _OWN | _TIMES} for row in rows)
    differences = diff_rows(one, other).changes
    return Comparison(
        left=left,
        right=right,
        left_seconds=_seconds(rows[0]),
        right_seconds=_seconds(rows[1]),
        differences=differences,
        steps=pairs,
        first_divergence=_first(differences, pairs),
    )


def _known(connection: Connection, ledger: str, job_id: str) -> Run:
    run = find_run(connection, ledger, job_id)
    if run is None:
        raise UnknownExecution(ledger=ledger, target=job_id)
    return run


def _row(connection: Connection, ledger: str, run: Run) -> Mapping[str, Any]:
    """The last row; of an execution that was deleted, the one before."""
    resolved = resolve(connection, ledger, run, Moment())
    if resolved.found is not None and REMOVED in resolved.found.sources:
        before = Moment(version=resolved.found.sources[REMOVED] - 1)
        resolved = resolve(connection, ledger, run, before)
    point, found, stored, changes = resolved
    assert found is not None
    return make_row(ledger, point, found, stored, changes) or {}


def _steps(connection: Connection, ledger: str, run: Run) -> Iterator[RunStep]:
    """The steps of a run in the order of their start; those with erased payloads are left out."""
    steps: dict[str, RunStep] = {}
    for event in read_pages(connection, ledger, run.execution_id, STEP_TYPES):
        match decode_event(event, EXECUTIONS.catalog).data:
            case StepStart() as start:
                steps[start.step_id] = RunStep(
                    step_id=start.step_id,
                    name=start.name,
                    kind=start.kind,
                    parent_step_id=start.parent_step_id,
                    started_at=start.started_at,
                    start_version=event.version,
                )
            case StepFinish() as finish if finish.step_id in steps:
                step = steps[finish.step_id]
                step.finished_at, step.outcome, step.finish_version = finish.finished_at, finish.outcome, event.version
    return iter(steps.values())


def _compare_payloads(connection: Connection, ledger: str, runs: list[Run], pairs: list[StepPair]) -> None:
    sides = [(runs[0], [pair.left for pair in pairs]), (runs[1], [pair.right for pair in pairs])]
    wanted: set[Point] = set()
    for run, steps in sides:
        for step in filter(None, steps):
            wanted.update((run.execution_id, v) for v in (step.start_version, step.finish_version) if v is not None)
    stored = read_events(connection, ledger, sorted(wanted))

    def told(run: Run, step: RunStep) -> dict[str, Any]:
        found: dict[str, Any] = {"outcome": step.outcome, "attributes": None, "error": None, "result": None}
        for version in filter(None, (step.start_version, step.finish_version)):
            payload = decode_event(stored[run.execution_id, version], EXECUTIONS.catalog).data
            found |= {name: getattr(payload, name) for name in found if getattr(payload, name, None) is not None}
        return found

    for pair in pairs:
        if pair.left is not None and pair.right is not None:
            pair.differences = diff_rows(told(runs[0], pair.left), told(runs[1], pair.right)).changes


def _seconds(row: Mapping[str, Any]) -> float | None:
    begin, end = row.get("started_at") or row.get("created_at"), row.get("completed_at")
    return None if begin is None or end is None else (end - begin).total_seconds()


def _first(differences: list[Change], pairs: list[StepPair]) -> Divergence | None:
    if inputs := [each for each in differences if each.path[0] == "inputs"]:
        return Divergence(where="inputs", differences=inputs)
    for pair in pairs:
        if pair.diverges:
            return Divergence(where="step", step=pair, differences=pair.differences)
    if outcome := [each for each in differences if each.path[0] in _OUTCOME]:
        return Divergence(where="outcome", differences=outcome)
    return None
