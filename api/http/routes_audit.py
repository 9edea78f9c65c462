"""Who did what, when and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from ...projections import AuditedEvent as Audited
from ...projections import EventExport
from . import problem_docs
from .answers import AuditedEvent, AuditPage, CountAnswer, TouchedRuns
from .authentication import AUDIT
from .dependencies import Audit, LedgerName, get_ledger
from .headers import Route
from .links import linked
from .problem_kinds import EXECUTION_NOT_FOUND
from .problems import Problem
from .query_schemas import AuditFilters, AuditQuery, ExportQuery, LastChangeQuery, TouchedQuery
from .responses import event_body, json_response

router = APIRouter(prefix="/audit", tags=["audit"], route_class=Route)

_MEDIA = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


@router.get("", operation_id="list_audit", summary="A page of an audit", dependencies=AUDIT, response_model=AuditPage)
async def list_audit(request: Request, query: Annotated[AuditQuery, Query()], audit: Audit) -> Response:
    """Events that pass every filter, each with what it changed, before and after."""
    filters = query.model_dump(exclude={"limit", "cursor", "order"}, exclude_none=True)
    page = await audit.events(query.limit, query.cursor, newest_first=query.order == "newest", **filters)
    body = {
        "events": [_audited(each) for each in page.events],
        "next_cursor": page.next_cursor,
        "previous_cursor": page.previous_cursor,
        "complete": page.complete,
        "scanned": page.scanned,
    }
    return linked(json_response(body), request, next=page.next_cursor, prev=page.previous_cursor)


@router.get(
    "/count", operation_id="count_audit", summary="How many events pass", dependencies=AUDIT, response_model=CountAnswer
)
async def count_audit(query: Annotated[AuditFilters, Query()], audit: Audit) -> Response:
    """Exact without filters; with them as far as they are counted."""
    return json_response(await audit.count(**query.model_dump(exclude_none=True)))


@router.get(
    "/last-change",
    operation_id="get_last_change",
    summary="Who changed a field last",
    dependencies=AUDIT,
    response_model=AuditedEvent,
    responses=problem_docs.NOT_FOUND,
)
async def get_last_change(query: Annotated[LastChangeQuery, Query()], audit: Audit) -> Response:
    """404 where nobody ever set it."""
    found = await audit.last_change(query.job_id, query.field)
    if found is None:
        raise Problem(EXECUTION_NOT_FOUND, f"Nobody ever set {query.field!r} of such an execution.")
    return json_response(_audited(found))


@router.get(
    "/runs",
    operation_id="list_touched_runs",
    summary="Runs of one piece of work",
    dependencies=AUDIT,
    response_model=TouchedRuns,
)
async def list_touched_runs(query: Annotated[TouchedQuery, Query()], audit: Audit) -> Response:
    """All that have an event with this correlation id."""
    return json_response({"runs": await audit.touched_runs(query.correlation_id, query.limit)})


@router.get(
    "/export",
    operation_id="export_audit",
    summary="Download events",
    dependencies=AUDIT,
    response_class=StreamingResponse,
    responses=problem_docs.EXPORT,
)
async def export_audit(request: Request, query: Annotated[ExportQuery, Query()], ledger: LedgerName) -> Response:
    """What the ledger holds now. `X-Ledger-Size` says up to where: `/ledger/root?size=` proves it."""
    filters: dict[str, Any] = query.model_dump(exclude={"format"}, exclude_none=True)
    export = EventExport(get_ledger(request).engine, ledger=ledger, format=query.format, **filters)
    chunks = export.chunks()
    first = await anext(chunks, b"")  # what cannot begin is a problem, not a broken download
    headers = {
        "Content-Disposition": f'attachment; filename="events.{query.format}"',
        "X-Ledger-Size": str(export.size),
    }
    return StreamingResponse(_all(first, chunks), media_type=_MEDIA[query.format], headers=headers)


async def _all(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


def _audited(audited: Audited) -> dict[str, Any]:
    return {"event": event_body(audited.event), "changes": audited.changes}
