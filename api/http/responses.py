"""Answers, encoded once from what the repository and the queries give: `answers` describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from fastapi import Response

from ...domain import FIELDS
from ...infrastructure import EXECUTIONS, ExecutionHistory, ExecutionRepository, Root
from ...projections import LedgerSummary, ProjectionStatus, RecordedEvent, Spans, StatusSpan, StepSpan, Timeline
from .problems import existing


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Any of the above, as JSON."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def execution_body(row: ExecutionHistory) -> dict[str, Any]:
    """An `Execution`."""
    given = {
        "execution_id": row.job_id,
        "ledger": row.ledger_id,
        "id": row.id,
        "stream_id": row.execution_id,
        "version": row.version,
        "updated_at": row.updated_at,
    }
    return given | {name: getattr(row, name) for name in FIELDS}


def row_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """An `Execution` of a projected row, whose JSON is decoded."""
    return execution_body(EXECUTIONS.load(row))


def execution_response(
    row: ExecutionHistory | None, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An `Execution` with its version as the ETag; a problem where there is none."""
    row = existing(row)
    return json_response(execution_body(row), status, {"ETag": f'"{row.version}"', **(headers or {})})


def written_response(
    executions: ExecutionRepository,
    row: ExecutionHistory | None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The same after a write, with the position of its last event: for reads that must not be older."""
    return execution_response(row, status, {**position_header(executions.position), **(headers or {})})


def position_header(position: int | None) -> dict[str, str]:
    """`X-Position`, where there was an event."""
    return {} if position is None else {"X-Position": str(position)}


def events_response(events: list[RecordedEvent], limit: int, order: str) -> Response:
    """An `EventList`, given one event more than the page holds if there is one."""
    page = events[:limit]
    following = page[-1].position if len(events) > limit else None
    body = {
        "events": [event_body(event) for event in page],
        "next_before": following if order == "newest" else None,
        "next_after": following if order == "oldest" else None,
    }
    return json_response(body)


def timeline_response(timeline: Timeline | None) -> Response:
    """A `TimelineAnswer`; a problem where there is none."""
    timeline = existing(timeline)
    body = {
        "job_id": timeline.job_id,
        "events": [event_body(event) for event in timeline.events],
        **_spans_body(timeline.statuses, timeline.steps),
        "next_version": timeline.next_version,
    }
    return json_response(body)


def spans_response(job_id: str, spans: Spans | None) -> Response:
    """A `SpansAnswer`; a problem where there is none."""
    spans = existing(spans)
    body = {"job_id": job_id, "version": spans.version, **_spans_body(spans.statuses, spans.steps)}
    return json_response(body | {"ended": spans.ended, "next_version": spans.next_version})


def ledger_response(summary: LedgerSummary, statuses: Iterable[ProjectionStatus]) -> Response:
    """A `LedgerAnswer`."""
    return json_response(msgspec.structs.asdict(summary) | {"projections": lags_body(statuses)})


def lags_body(statuses: Iterable[ProjectionStatus]) -> list[dict[str, Any]]:
    """Each a `ProjectionLag`."""
    return [
        {"projection": each.projection, "position": each.position, "lag": each.lag, "stopped": each.stopped}
        for each in statuses
    ]


def root_response(root: Root) -> Response:
    """A `RootAnswer`."""
    return json_response({"ledger": root.ledger, "size": root.size, "root": root.root.hex()})


def event_body(event: RecordedEvent) -> dict[str, Any]:
    """An `Event`."""
    body = msgspec.structs.asdict(event)
    return {"ledger": body.pop("ledger_id"), "stream_id": body.pop("execution_id"), **body}


def _spans_body(statuses: Iterable[StatusSpan], steps: list[StepSpan]) -> dict[str, Any]:
    """The members `statuses` and `steps`."""
    timed = [msgspec.structs.asdict(span) | {"seconds": span.seconds} for span in statuses]
    return {"statuses": timed, "steps": list(_flat(steps))}


def _flat(steps: list[StepSpan]) -> Iterator[dict[str, Any]]:
    # A list, since a thousand steps inside each other are more than JSON readers take.
    waiting = steps[::-1]
    while waiting:
        step = waiting.pop()
        body = msgspec.structs.asdict(step) | {"seconds": step.seconds}
        del body["steps"]
        yield body
        waiting.extend(reversed(step.steps))
