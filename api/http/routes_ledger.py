"""The ledger behind the executions: timelines, events, size and root."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from . import problem_docs
from .answers import EventList, Health, LedgerAnswer, RootAnswer, TimelineAnswer
from .dependencies import ExecutionId, Queries, Replay
from .query_schemas import EventsQuery, RootQuery, TimelineQuery
from .responses import events_response, json_response, ledger_response, root_response, timeline_response

router = APIRouter(tags=["ledger"])
health = APIRouter(tags=["service"])


@router.get(
    "/executions/{execution_id}/timeline",
    operation_id="get_timeline",
    summary="What happened in an execution",
    tags=["executions"],
    response_model=TimelineAnswer,
    responses=problem_docs.NOT_FOUND,
)
async def get_timeline(execution_id: ExecutionId, query: Annotated[TimelineQuery, Query()], replay: Replay) -> Response:
    """Its events in order, the time it spent in each status, its steps. Deleted executions still have one."""
    timeline = await replay.timeline(execution_id, limit=query.limit, from_version=query.from_version)
    return timeline_response(timeline)


@router.get("/events", operation_id="list_events", summary="A page of the ledger's events", response_model=EventList)
async def list_events(query: Annotated[EventsQuery, Query()], queries: Queries) -> Response:
    """Who changed what, when and why. Ordered and paged by position."""
    filters = query.model_dump(exclude={"limit", "order"}, exclude_none=True)
    events = await queries.events(query.limit + 1, newest_first=query.order == "newest", **filters)
    return events_response(events, query.limit, query.order)


@router.get("/ledger", operation_id="get_ledger", summary="The ledger in numbers", response_model=LedgerAnswer)
async def get_ledger(queries: Queries) -> Response:
    """Size and counters: one row, whatever the size of the ledger."""
    return ledger_response(await queries.summary())


@router.get("/ledger/root", operation_id="get_root", summary="The Merkle root of the ledger", response_model=RootAnswer)
async def get_root(query: Annotated[RootQuery, Query()], queries: Queries) -> Response:
    """What the ledger hashes to (RFC 9162); reads every event's hash up to the size."""
    return root_response(await queries.root(query.size))


@health.get("/healthz", operation_id="get_health", summary="Whether the process is up", response_model=Health)
async def get_health() -> Response:
    """Does not ask the database: restarting the process would not mend it."""
    return json_response({"status": "ok"})
