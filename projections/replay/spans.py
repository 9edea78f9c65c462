"""Stretches of time: statuses, steps inside each other, and what lies between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import msgspec

from ...domain import ExecutionStatus, Payload, StepFinish, StepStart
from ...domain.status import TARGET_OF


class Span(msgspec.Struct, kw_only=True):
    """A stretch of time."""

    started_at: datetime
    finished_at: datetime | None = None
    """None while it lasts."""

    @property
    def seconds(self) -> float | None:
        """How long it took, in seconds; None while it lasts."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()


class StatusSpan(Span, kw_only=True):
    """The time spent in one status. The last one of an ended run has no length: it ended there."""

    status: str
    version: int
    """The event that began it."""


class StepSpan(Span, kw_only=True):
    """A step, with the steps inside it."""

    step_id: str
    name: str
    kind: str | None = None
    parent_step_id: str | None = None
    outcome: str | None = None
    error: str | None = None
    version: int | None = None
    """The event that began it; None where that was not read, as of a step that began before a page."""
    finished_version: int | None = None
    """The event that ended it; None while it lasts, and where that was not read."""
    steps: list[StepSpan] = []


class StepEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a step that began on an earlier page."""

    step_id: str
    version: int
    """The event that ended it."""
    finished_at: datetime
    outcome: str
    error: str | None = None


class Gap(Span, kw_only=True):
    """A stretch in which something is missing."""

    kind: Literal["silence", "uncovered"]
    """silence: nothing was heard of the run; uncovered: it ran, and none of its steps did."""


class SpanBuilder:
    """Makes spans of events that come in order."""

    def __init__(self) -> None:
        self.statuses: list[StatusSpan] = []
        self.steps: list[StepSpan] = []
        """The outermost ones, in order of their start."""
        self.by_id: dict[str, StepSpan] = {}
        self.ends: list[StepEnd] = []
        """Ends of steps whose start was not among the events."""

    def add(self, version: int, name: str, at: datetime, payload: Payload) -> None:
        """Take the next event: its version, its name without the prefix, and when it happened."""
        match payload:
            case StepStart():
                self._start(version, payload)
            case StepFinish():
                self._finish(version, payload)
            case _:
                for span in status_spans(version, name, at, payload.changes()):
                    if self.statuses:
                        self.statuses[-1].finished_at = span.started_at
                    self.statuses.append(span)

    def _start(self, version: int, step: StepStart) -> None:
        span = StepSpan(
            step_id=step.step_id,
            name=step.name,
            kind=step.kind,
            parent_step_id=step.parent_step_id,
            started_at=step.started_at,
            version=version,
            steps=[],
        )
        self.by_id[span.step_id] = span
        parent = self.by_id.get(step.parent_step_id or "")
        (parent.steps if parent else self.steps).append(span)

    def _finish(self, version: int, step: StepFinish) -> None:
        end = StepEnd(
            step_id=step.step_id,
            version=version,
            finished_at=step.finished_at,
            outcome=step.outcome,
            error=step.error,
        )
        span = self.by_id.get(step.step_id)
        if span is None:
            self.ends.append(end)
        else:
            set_end(span, end)


def set_end(step: StepSpan, end: StepEnd) -> None:
    """Tell a step that it has ended."""
    step.finished_at, step.outcome, step.error = end.finished_at, end.outcome, end.error
    step.finished_version = end.version


def status_spans(version: int, name: str, at: datetime, changes: Mapping[str, Any]) -> list[StatusSpan]:
    """The status that begins with an event, if one does.

    Where the payload was erased, the event's name still tells: only of one that was created or corrected it does not.
    One that was created with a life behind it, as by an import, began before that: its times tell when.
    """
    status = changes.get("status") or (None if changes else TARGET_OF.get(name))
    if status is None:
        return []
    started, ended = changes.get("started_at"), changes.get("completed_at")
    if name != "created":
        return [StatusSpan(status=str(status), version=version, started_at=ended or started or at)]
    begin = changes.get("created_at") or at
    told = [(str(status), begin)]
    if ended is not None or (started is not None and status == ExecutionStatus.RUNNING):
        told = [(ExecutionStatus.PENDING.value, begin), (ExecutionStatus.RUNNING.value, started), (str(status), ended)]
    spans: list[StatusSpan] = []
    for each, since in told:
        if since is not None:
            while spans and spans[-1].started_at >= since:
                spans.pop()
            spans.append(StatusSpan(status=each, version=version, started_at=since))
    for before, after in pairwise(spans):
        before.finished_at = after.started_at
    return spans


def time_in_statuses(spans: Iterable[StatusSpan], until: datetime | None = None) -> dict[str, float]:
    """Seconds spent in each status. A span that lasts counts up to `until`, and not without it."""
    seconds: dict[str, float] = {}
    for span in spans:
        end = span.finished_at or until
        spent = 0.0 if end is None else (end - span.started_at).total_seconds()
        seconds[span.status] = seconds.get(span.status, 0.0) + spent
    return seconds


def silences(times: Iterable[datetime], heard: datetime | None, least: float) -> list[Gap]:
    """Stretches longer than `least` seconds between what was heard, the last of which before the times is `heard`."""
    gaps: list[Gap] = []
    for time in times:
        if heard is not None and (time - heard).total_seconds() > least:
            gaps.append(Gap(kind="silence", started_at=heard, finished_at=time))
        heard = time if heard is None else max(heard, time)
    return gaps


def uncovered(
    running: Iterable[tuple[datetime, datetime | None]],
    steps: Iterable[tuple[datetime, datetime | None]],
    end: datetime,
) -> list[Gap]:
    """Stretches up to `end` in which the run ran and no step did. Steps are ordered by their start."""
    covered = [(start, stop or end) for start, stop in steps]
    gaps: list[Gap] = []
    for since, finished_at in running:
        at, last = since, min(finished_at or end, end)
        for start, stop in covered:
            if at < min(start, last):
                gaps.append(Gap(kind="uncovered", started_at=at, finished_at=min(start, last)))
            at = max(at, stop)
        if at < last:
            gaps.append(Gap(kind="uncovered", started_at=at, finished_at=last))
    return gaps
