"""The events as they come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT

from ...domain import InvalidInput, StoreUnavailable
from ...projections import Feed, RecordedEvent, Subscription
from ...projections.audit import Filters
from . import problem_docs
from .authentication import READ
from .dependencies import LedgerName
from .headers import Route
from .query_schemas import StreamQuery
from .responses import event_body
from .sse import IDLE, message, sse_response

router = APIRouter(tags=["ledger"], route_class=Route)

_FIRST, _LONGEST = 0.2, 5.0
"""Seconds between two tries to read while the database is away."""
_log = logging.getLogger("execution_ledger.api")


@router.get(
    "/events/stream",
    operation_id="stream_events",
    summary="Follow the ledger",
    dependencies=READ,
    response_class=StreamingResponse,
    responses=problem_docs.STREAM,
)
async def stream_events(
    request: Request,
    query: Annotated[StreamQuery, Query()],
    ledger: LedgerName,
    last_event_id: Annotated[str | None, Header(description="The last `id` seen; browsers send it.")] = None,
) -> Response:
    """Server-sent events, each once and in order, its position as `id`; comments keep the line up."""
    return follow(request, query, ledger, last_event_id, event_body)


def follow(
    request: Request,
    query: StreamQuery,
    ledger: str,
    last_event_id: str | None,
    body: Callable[[RecordedEvent], dict[str, Any]],
) -> Response:
    """The stream, with what `body` makes of each event."""
    after = query.after if last_event_id is None else _position(last_event_id)
    feed: Feed = request.app.state.feed
    types = Filters.of({"type": query.type}).type
    subscription = feed.subscribe(ledger, after, types=types, job_id=query.job_id, idle=IDLE)
    return sse_response(request, _messages(subscription, body))


async def _messages(
    subscription: Subscription, body: Callable[[RecordedEvent], dict[str, Any]]
) -> AsyncIterator[bytes]:
    delay = _FIRST
    while True:
        try:
            event = await anext(subscription)
        except StoreUnavailable as error:
            # The stream stays: a browser does not come back from the 503 that it would get.
            _log.warning("a stream waits: %s", error, extra={"action": "stream_waits"})
            yield KEEPALIVE_COMMENT
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST)
        else:
            delay = _FIRST
            yield KEEPALIVE_COMMENT if event is None else message(body(event), id=event.position)


def _position(last_event_id: str) -> int:
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        raise InvalidInput(
            field="Last-Event-ID",
            problem=f"{last_event_id[:40]!r} is not a position",
            remedy="Send the last `id` seen.",
        )
    return int(last_event_id)
