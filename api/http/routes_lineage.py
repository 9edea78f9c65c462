"""OpenLineage: events as its clients send them (`OPENLINEAGE_URL`), and an execution's events as theirs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from ...domain import Context, InvalidInput, make_context
from ...infrastructure import Outcome
from . import problem_docs
from .answers import LineageAnswer, LineageBatch, LineageEvents
from .authentication import READ, WRITE
from .dependencies import CallContext, ExecutionId, LedgerName, Replay
from .json_route import JsonRoute
from .lineage import record, record_all
from .lineage_out import as_lineage, find_subject, is_told
from .lineage_schemas import MOST, LineageEvent
from .problems import existing, explain
from .query_schemas import TimelineQuery
from .responses import json_response

router = APIRouter(tags=["lineage"], route_class=JsonRoute)


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
    if not isinstance(events, list) or len(events) > MOST:
        raise InvalidInput(field="body", problem="is not a list of events", remedy=f"Send up to {MOST:,} events.")
    state, said = request.app.state, make_context(Context(), **context)
    errors = await record_all(state.writer, ledger, events, said, state.settings.limits)
    failed = [
        {"index": index, "reason": reason, "retriable": kind.retry_after is not None}
        for index, error in enumerate(errors)
        if error is not None
        for kind, reason, _ in (explain(error),)
    ]
    again = sum(each["retriable"] for each in failed)
    summary = {
        "received": len(events),
        "successful": len(events) - len(failed),
        "failed": len(failed),
        "retriable": again,
        "non_retriable": len(failed) - again,
    }
    status = "partial_success" if failed else "success"  # the specification has no third
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
    """RunEvents in order, a page at a time. What came as OpenLineage is given as it came, and once."""
    found = existing(await replay.timeline(execution_id, limit=query.limit, from_version=query.from_version))
    subject = await find_subject(replay, execution_id)
    events = [as_lineage(event, subject) for event in found.events if not is_told(event)]
    return json_response({"events": events, "next_version": found.next_version})


def _told(outcome: Outcome | None) -> dict[str, Any]:
    row = None if outcome is None else outcome.row
    if outcome is None or row is None:
        return {"job_id": None, "status": None, "version": None, "position": None}
    about = {"job_id": row["job_id"], "status": row["status"]}
    return {**about, "version": outcome.version, "position": outcome.position}
