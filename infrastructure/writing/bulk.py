"""Commands without number: streamed through the writer in chunks, in constant memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...domain import Context, ContextFields, Create, LedgerError, StoreUnavailable, check_ledger, make_context
from ..event_store import EventStore
from ..requests import Request
from .group import Answer

if TYPE_CHECKING:
    from .writer import GroupWriter

CHUNK = 500
"""Commands that are sent together."""
_IN_FLIGHT = 3
"""Chunks that wait or are written while the next one is made ready."""

Progress = Callable[[int], object]
Refused = Callable[[Any, LedgerError], object]


class BulkReport(NamedTuple):
    """How many commands were done, refused, and about what does not exist."""

    done: int
    refused: int
    missing: int = 0


class Item(NamedTuple):
    """One command on its way, or why there is none."""

    source: Any
    """What the caller gave."""
    request: Request | None
    error: LedgerError | None = None


async def execute_many(
    writer: GroupWriter, items: AsyncIterator[Item], progress: Progress | None, refused: Refused | None
) -> BulkReport:
    """Send chunks of one ledger each, a few at a time, and count what became of them."""
    counts = {"done": 0, "refused": 0, "missing": 0}
    in_flight: deque[tuple[list[Item], asyncio.Future[Sequence[Answer]]]] = deque()

    def count(item: Item, answer: Answer) -> None:
        if isinstance(answer, StoreUnavailable):
            raise answer  # the database's trouble, which the next commands have as well
        if isinstance(answer, Exception):
            counts["refused"] += 1
            if refused is None or not isinstance(answer, LedgerError):
                raise answer
            refused(item.source, answer)
        else:
            counts["missing" if answer is None else "done"] += 1

    async def settle() -> None:
        chunk, future = in_flight.popleft()
        answers = iter(await future)
        for item in chunk:
            count(item, item.error or next(answers))
        if progress is not None:
            progress(sum(counts.values()))

    try:
        async for chunk in _chunks(items):
            requests = [item.request for item in chunk if item.request is not None]
            in_flight.append((chunk, await writer.send(requests)))
            if len(in_flight) == _IN_FLIGHT:
                await settle()
        while in_flight:
            await settle()
    except asyncio.CancelledError:
        for _, future in in_flight:
            future.cancel()  # takes back what is not being written yet
        raise
    except BaseException:
        # Nothing is written behind the caller's back.
        await asyncio.gather(*(future for _, future in in_flight), return_exceptions=True)
        raise
    return BulkReport(**counts)


async def of_requests(requests: Iterable[Request] | AsyncIterable[Request]) -> AsyncIterator[Item]:
    """Commands as they are."""
    async for request in _each(requests):
        yield Item(request, request)


async def of_executions(
    executions: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
    store: EventStore,
    ledger: str,
    context: ContextFields,
) -> AsyncIterator[Item]:
    """Commands that create each of these."""
    check_ledger(ledger)
    shared = make_context(Context(), **context)
    aggregate = store.entity.aggregate
    async for data in _each(executions):
        try:
            details = aggregate.parse(data, creating=True)
        except LedgerError as error:
            yield Item(data, None, error)
            continue
        key = getattr(details, aggregate.key_field)
        yield Item(data, Request(ledger, key if isinstance(key, str) else None, Create(details=details), shared))


async def _chunks(items: AsyncIterator[Item]) -> AsyncIterator[list[Item]]:
    chunk: list[Item] = []
    ledger = None
    async for item in items:
        other = item.request is not None and ledger not in (None, item.request.ledger)
        if len(chunk) == CHUNK or other:
            yield chunk
            chunk = []
        if item.request is not None:
            ledger = item.request.ledger
        chunk.append(item)
    if chunk:
        yield chunk


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
