"""The ledger behind the executions: timelines, events, size and root."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from ...projections import Audited, AuditedLedger, Heads
from . import problem_docs
from .answers import EventList, LedgerAnswer, LedgerHealth, Projections, RootAnswer, TimelineAnswer
from .authentication import ADMIN, AUDIT, READ
from .dependencies import Control, ExecutionId, LedgerName, Queries, Replay
from .dependencies import get_ledger as get_service
from .headers import Route
from .query_schemas import EventsQuery, RootQuery, TimelineQuery
from .responses import (
    events_response,
    json_response,
    lags_body,
    ledger_response,
    root_response,
    timeline_response,
)

router = APIRouter(tags=["ledger"], route_class=Route)


@router.get(
    "/executions/{execution_id}/timeline",
    operation_id="get_timeline",
    dependencies=READ,
    summary="What happened in an execution",
    tags=["executions"],
    response_model=TimelineAnswer,
    responses=problem_docs.NOT_FOUND,
)
async def get_timeline(execution_id: ExecutionId, query: Annotated[TimelineQuery, Query()], replay: Replay) -> Response:
    """Its events in order, the time it spent in each status, its steps. Deleted executions still have one."""
    timeline = await replay.timeline(execution_id, limit=query.limit, from_version=query.from_version)
    return timeline_response(timeline)


@router.get(
    "/events",
    operation_id="list_events",
    dependencies=READ,
    summary="A page of the ledger's events",
    response_model=EventList,
)
async def list_events(query: Annotated[EventsQuery, Query()], queries: Queries) -> Response:
    """Who changed what, when and why. Ordered and paged by position."""
    filters = query.model_dump(exclude={"limit", "order"}, exclude_none=True)
    events = await queries.events(query.limit + 1, newest_first=query.order == "newest", **filters)
    return events_response(events, query.limit, query.order)


@router.get(
    "/ledger",
    operation_id="get_ledger",
    dependencies=READ,
    summary="The ledger in numbers",
    response_model=LedgerAnswer,
)
async def get_ledger(queries: Queries, projections: Control) -> Response:
    """Size, counters and how far each projection is behind: a few rows, whatever the size of the ledger."""
    statuses = await asyncio.to_thread(projections.statuses, queries.ledger)
    return ledger_response(await queries.summary(), statuses)


@router.get(
    "/ledger/health",
    operation_id="get_ledger_health",
    dependencies=READ,
    summary="How well the ledger is kept",
    response_model=LedgerHealth,
)
async def get_ledger_health(request: Request, queries: Queries, projections: Control) -> Response:
    """Writer, feed, samples and projections. What is not in the database is that of the process that answers."""
    state, interval = request.app.state, get_service(request).settings.audit_interval
    heads: Heads = state.heads
    audited: Audited = state.audited
    statuses = await asyncio.to_thread(projections.statuses, queries.ledger)
    size = (await queries.summary()).size
    heard = heads.size(queries.ledger)
    sampled = audited.ledgers.get(queries.ledger, AuditedLedger())
    body = {
        "ledger": queries.ledger,
        "size": size,
        "started_at": state.started_at,
        "writer": {"waiting": state.writer.waiting},
        "feed": {"position": heard, "lag": max(0, size - heard)},
        "verification": {
            "every": interval or None,
            "executions": sampled.executions,
            "mismatches": sampled.mismatches,
            "failures": audited.failures,
            "last_at": sampled.last_at,
        },
        "projections": lags_body(statuses),
    }
    return json_response(body)


@router.get(
    "/ledger/root",
    operation_id="get_root",
    dependencies=AUDIT,
    summary="The Merkle root of the ledger",
    response_model=RootAnswer,
)
async def get_root(query: Annotated[RootQuery, Query()], queries: Queries) -> Response:
    """What the ledger hashes to (RFC 9162); reads every event's hash up to the size."""
    return root_response(await queries.root(query.size))


@router.get(
    "/projections",
    operation_id="list_projections",
    summary="Projections of the ledger",
    dependencies=ADMIN,
    response_model=Projections,
)
async def list_projections(projections: Control, ledger: LedgerName) -> Response:
    """How far each has read it, and what stopped it."""
    return json_response({"projections": await asyncio.to_thread(projections.statuses, ledger)})


@router.post(
    "/projections/{name}/retry",
    operation_id="retry_projection",
    summary="Have a stopped projection try again",
    dependencies=ADMIN,
    response_model=Projections,
    responses=problem_docs.PROJECTION,
)
async def retry_projection(name: str, projections: Control, ledger: LedgerName) -> Response:
    """Once what its event failed of is mended. Where it has not stopped, nothing happens."""
    await asyncio.to_thread(projections.retry, name, ledger)
    return json_response({"projections": await asyncio.to_thread(projections.statuses, ledger)})
