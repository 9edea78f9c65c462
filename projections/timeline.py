"""The timeline of one execution: its events in order, the time it spent in each status, its steps as nested spans."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from .recorded_event import RecordedEvent


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


class StepSpan(Span, kw_only=True):
    """A step, with the steps inside it."""

    step_id: str
    name: str
    kind: str | None = None
    outcome: str | None = None
    error: str | None = None
    steps: list[StepSpan] = []


class Timeline(msgspec.Struct, kw_only=True):
    """What happened in one execution."""

    job_id: str
    events: list[RecordedEvent]
    statuses: list[StatusSpan]
    steps: list[StepSpan]
    """The outermost steps, in order of their start."""
    next_version: int | None = None
    """Where the next page begins, None on the last one. Spans tell of the events of this page."""


def make_timeline(job_id: str, events: Iterable[RecordedEvent]) -> Timeline:
    """The timeline of these events: an execution's first ones, in order."""
    timeline = Timeline(job_id=job_id, events=[], statuses=[], steps=[])
    by_id: dict[str, StepSpan] = {}
    for event in events:
        timeline.events.append(event)
        data = event.data or {}
        match event.name:
            case "step_started":
                _start_step(timeline, by_id, data)
            case "step_finished":
                _finish_step(by_id, data)
            case _ if "status" in data:
                _change_status(timeline, event, data)
    return timeline


def _change_status(timeline: Timeline, event: RecordedEvent, data: dict[str, Any]) -> None:
    given = data.get("completed_at") or (data.get("created_at") if event.name == "created" else data.get("started_at"))
    at = datetime.fromisoformat(given) if given else event.at
    if timeline.statuses:
        timeline.statuses[-1].finished_at = at
    timeline.statuses.append(StatusSpan(status=data["status"], started_at=at))


def _start_step(timeline: Timeline, by_id: dict[str, StepSpan], data: dict[str, Any]) -> None:
    span = StepSpan(
        step_id=data["step_id"],
        name=data["name"],
        kind=data.get("kind"),
        started_at=datetime.fromisoformat(data["started_at"]),
        steps=[],
    )
    by_id[span.step_id] = span
    parent = by_id.get(data.get("parent_step_id", ""))
    (parent.steps if parent else timeline.steps).append(span)


def _finish_step(by_id: dict[str, StepSpan], data: dict[str, Any]) -> None:
    span = by_id.get(data["step_id"])
    if span is not None:
        span.finished_at = datetime.fromisoformat(data["finished_at"])
        span.outcome, span.error = data["outcome"], data.get("error")
