"""Server-sent events: streams that end when the client goes or the service does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from fastapi.sse import EventSourceResponse, format_sse_event

from ...domain import LedgerError

_T = TypeVar("_T")
_log = logging.getLogger("execution_ledger.api")

IDLE = 15.0
"""Seconds of silence after which a comment shows that somebody is there."""
_RETRY = 2_000
"""Milliseconds after which a client that lost its stream should come back."""


def sse_response(request: Request, messages: AsyncIterator[bytes]) -> EventSourceResponse:
    """The stream of these messages. What fails in it ends it; the client comes back with its Last-Event-ID."""
    return EventSourceResponse(_stream(messages, request.app.state.stopping), headers={"X-Accel-Buffering": "no"})


def message(body: Any, *, id: int | None = None, event: str | None = None) -> bytes:
    """One event, its body as JSON."""
    text = msgspec.json.encode(body).decode()
    return format_sse_event(data_str=text, id=None if id is None else str(id), event=event)


async def _stream(messages: AsyncIterator[bytes], stopping: asyncio.Event) -> AsyncIterator[bytes]:
    yield format_sse_event(data_str=None, retry=_RETRY)
    try:
        async for each in until(messages, stopping):
            yield each
    except LedgerError as error:
        _log.warning("a stream ended: %s", error, extra={"action": "stream_ended"})


async def until(items: AsyncIterator[_T], stopping: asyncio.Event) -> AsyncIterator[_T]:
    """The items, until something is set."""
    stop = asyncio.create_task(stopping.wait())
    following: asyncio.Future[_T] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(items))
            await asyncio.wait({following, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                return
            try:
                item = following.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        for task in (stop, following):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task})
