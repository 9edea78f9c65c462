"""OpenLineage: events as its clients send them (`OPENLINEAGE_URL`), and an execution's events as theirs."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from ...domain import Context, InvalidInput, LedgerBusy, StoreUnavailable, make_context
from ...infrastructure import Outcome
from ...projections import RecordedEvent
from . import problem_docs
from .answers import LineageAnswer, LineageBatch, LineageEvents
from .authentication import READ, WRITE
from .dependencies import CallContext, ExecutionId, LedgerName, Replay
from .json_route import JsonRoute
from .lineage import record, record_all
from .lineage_schemas import MOST, LineageEvent
from .problems import existing, explain
from .query_schemas import TimelineQuery
from .responses import json_response

router = APIRouter(tags=["lineage"], route_class=JsonRoute)

_PRODUCER = "urn:execution-ledger"
_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_TYPES = {
    "created": "START", "started": "RUNNING", "progressed": "RUNNING", "completed": "COMPLETE", "failed": "FAIL",
    "cancelled": "ABORT", "stopped": "ABORT", "rejected": "ABORT",
}  # fmt: skip
"""What our events are to OpenLineage; all others are OTHER."""


@router.post(
    "/lineage",
    operation_id="post_lineage",
    summary="Record an OpenLineage event",
    dependencies=WRITE,
    response_model=LineageAnswer,
    responses=problem_docs.CREATE_OR_CHANGE,
)
async def post_lineage(request: Request, body: LineageEvent, ledger: LedgerName, context: CallContext) -> Response:
    """A run is an execution by its run id. The same event again is recorded once; a late one changes no status back."""
    state, said = request.app.state, make_context(Context(), **context)
    outcome = await record(state.writer, ledger, body, await request.json(), said, state.settings.limits)
    return json_response(_told(outcome))


@router.post(
    "/lineage/batch",
    operation_id="post_lineage_batch",
    summary="Record OpenLineage events",
    dependencies=WRITE,
    response_model=LineageBatch,
    responses=problem_docs.BATCH,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/LineageEvent"},
                        "minItems": 1,
                        "maxItems": MOST,
                    }
                }
            },
        }
    },
)
async def post_lineage_batch(request: Request, ledger: LedgerName, context: CallContext) -> Response:
    """Each succeeds or fails alone; the answer names those that failed, and which of them to send again."""
    events = await request.json()
    if not isinstance(events, list) or not 1 <= len(events) <= MOST:
        raise InvalidInput(field="body", problem="is not a list of events", remedy=f"Send 1 to {MOST:,} events.")
    state, said = request.app.state, make_context(Context(), **context)
    errors = await record_all(state.writer, ledger, events, said, state.settings.limits)
    failed = [
        {"index": index, "reason": explain(error)[1], "retriable": isinstance(error, (StoreUnavailable, LedgerBusy))}
        for index, error in enumerate(errors)
        if error is not None
    ]
    again = sum(each["retriable"] for each in failed)
    summary = {
        "received": len(events),
        "successful": len(events) - len(failed),
        "failed": len(failed),
        "retriable": again,
        "non_retriable": len(failed) - again,
    }
    status = "success" if not failed else "failure" if len(failed) == len(events) else "partial_success"
    return json_response({"status": status, "summary": summary, "failed_events": failed})


@router.get(
    "/executions/{execution_id}/lineage",
    operation_id="list_lineage",
    summary="The events of an execution as OpenLineage",
    dependencies=READ,
    response_model=LineageEvents,
    responses=problem_docs.NOT_FOUND,
)
async def list_lineage(execution_id: ExecutionId, query: Annotated[TimelineQuery, Query()], replay: Replay) -> Response:
    """RunEvents in order, a page at a time. An event that came as OpenLineage is given as it came."""
    found = existing(await replay.timeline(execution_id, limit=query.limit, from_version=query.from_version))
    state = await replay.state_at(execution_id, version=1)
    name = None if state is None or state.row is None else state.row["run_name"]
    events = [_lineage(event, name) for event in found.events]
    return json_response({"events": events, "next_version": found.next_version})


def _told(outcome: Outcome | None) -> dict[str, Any]:
    row = None if outcome is None else outcome.row
    if outcome is None or row is None:
        return {"job_id": None, "status": None, "version": None, "position": None}
    about = {"job_id": row["job_id"], "status": row["status"]}
    return {**about, "version": outcome.version, "position": outcome.position}


def _lineage(event: RecordedEvent, run_name: str | None) -> dict[str, Any]:
    data = event.data or {}
    if event.name == "noted" and data.get("source") == "openlineage" and isinstance(data.get("data"), dict):
        return data["data"]
    facets: dict[str, Any] = {
        "executionLedger": {
            "_producer": _PRODUCER,
            "_schemaURL": f"{_PRODUCER}:event",
            "type": event.type,
            "job_id": event.job_id,
            "position": event.position,
            "version": event.version,
            "recorded_at": event.recorded_at,
            "actor": event.actor,
            "reason": event.reason,
            "data": event.data,
        }
    }
    if event.name == "failed":
        error = {
            "_producer": _PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json",
        }
        facets["errorMessage"] = {**error, "message": data.get("error") or "", "programmingLanguage": "unknown"}
    return {
        "eventType": _TYPES.get(event.name, "OTHER"),
        "eventTime": event.at,
        "run": {"runId": _run_id(event), "facets": facets},
        "job": {"namespace": event.ledger_id, "name": run_name or event.job_id, "facets": {}},
        "inputs": [],
        "outputs": [],
        "producer": _PRODUCER,
        "schemaURL": _SCHEMA,
    }


def _run_id(event: RecordedEvent) -> str:
    """A UUID in any case: the job id where it is one, as of runs that OpenLineage told of."""
    try:
        return str(UUID(event.job_id))
    except ValueError:
        return str(event.execution_id)
