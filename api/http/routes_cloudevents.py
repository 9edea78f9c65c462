"""The ledger's events as CloudEvents: pages in the batch format, single ones and a stream in the structured one."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ...projections.cloud_events import BATCH, STRUCTURED, cloud_event
from . import problem_docs
from .answers import CloudEvent
from .authentication import READ
from .dependencies import LedgerName, Queries
from .headers import Route
from .links import linked
from .problem_kinds import NOT_FOUND
from .problems import Problem
from .query_schemas import CloudEventsQuery, StreamQuery
from .routes_feed import follow

router = APIRouter(prefix="/cloudevents", tags=["cloudevents"], route_class=Route)


class StructuredResponse(JSONResponse):
    """One CloudEvent."""

    media_type = STRUCTURED

    def render(self, content: Any) -> bytes:
        """As all our JSON."""
        return msgspec.json.encode(content)


class BatchResponse(StructuredResponse):
    """Several."""

    media_type = BATCH


@router.get(
    "",
    operation_id="list_cloudevents",
    summary="A page of the ledger's events as CloudEvents",
    dependencies=READ,
    response_class=BatchResponse,
    response_model=list[CloudEvent],
)
async def list_cloudevents(
    request: Request, query: Annotated[CloudEventsQuery, Query()], queries: Queries
) -> BatchResponse:
    """The batch format, oldest first. `Link` names the page that follows, where there is one now."""
    filters = query.model_dump(exclude={"limit", "order"}, exclude_none=True)
    newest = query.order == "newest"
    events = await queries.events(query.limit + 1, newest_first=newest, **filters)
    page, source = events[: query.limit], request.app.state.settings.event_source
    answer = BatchResponse([cloud_event(event, source) for event in page])
    following = str(page[-1].position) if len(events) > query.limit else None
    return linked(answer, request, parameter="before" if newest else "after", next=following)


@router.get(
    "/stream",
    operation_id="stream_cloudevents",
    summary="Follow the ledger as CloudEvents",
    dependencies=READ,
    response_class=StreamingResponse,
    responses=problem_docs.STREAM,
)
async def stream_cloudevents(
    request: Request,
    query: Annotated[StreamQuery, Query()],
    ledger: LedgerName,
    last_event_id: Annotated[str | None, Header(description="The last `id` seen; browsers send it.")] = None,
) -> Response:
    """Server-sent events as those of the feed, the data of each in the structured format."""
    body = partial(cloud_event, source=request.app.state.settings.event_source)
    return follow(request, query, ledger, last_event_id, body)


@router.get(
    "/{position}",
    operation_id="get_cloudevent",
    summary="An event as a CloudEvent",
    dependencies=READ,
    response_class=StructuredResponse,
    response_model=CloudEvent,
    responses=problem_docs.NOTHING,
)
async def get_cloudevent(
    request: Request, position: Annotated[int, Path(ge=1, le=2**63 - 2)], queries: Queries
) -> StructuredResponse:
    """The structured format, by the event's position in the ledger."""
    found = await queries.events(1, newest_first=False, after=position - 1, before=position + 1)
    if not found:
        raise Problem(NOT_FOUND, f"The ledger has no event {position}.")
    return StructuredResponse(cloud_event(found[0], request.app.state.settings.event_source))
