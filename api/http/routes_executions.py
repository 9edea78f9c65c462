"""Executions: create, read, change, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ...domain import InvalidInput
from ...infrastructure import EXECUTIONS, ExecutionHistory, ExecutionRepository, HistoryFilters, HistoryPage
from ...infrastructure.history_query import Cursor
from . import problem_docs
from .answers import Execution, ExecutionList
from .authentication import READ, WRITE
from .dependencies import (
    ChangeOptions,
    CreateOptions,
    ExecutionId,
    Finder,
    Queries,
    Reader,
    Replay,
    Writer,
    replaying,
    with_body,
)
from .json_route import JsonRoute, takes
from .links import linked
from .loopback import path_part
from .problem_kinds import EXECUTION_NOT_FOUND
from .problems import Problem, existing
from .query_schemas import ExecutionsQuery, MomentQuery
from .responses import execution_body, execution_response, json_response, position_header, written_response
from .schemas import Body, ExecutionCreate, ExecutionUpdate

PATH = "/api/v1/executions"

router = APIRouter(prefix="/executions", tags=["executions"], route_class=JsonRoute)

_BESIDE = ("total", "creators")
"""What a page may tell beside its executions."""


@router.post(
    "",
    status_code=201,
    operation_id="create_execution",
    dependencies=WRITE,
    summary="Record a new execution",
    response_model=Execution,
    responses=problem_docs.CREATE,
)
@takes(ExecutionCreate)
async def create_execution(body: Body, executions: Writer, options: CreateOptions) -> Response:
    """Pending unless the body says otherwise. Without a `job_id` one is made: see `Location`."""
    created = await executions.create_execution(body.given(), **with_body(options, body))
    return written_response(executions, created, 201, {"Location": f"{PATH}/{path_part(created.job_id)}"})


@router.get(
    "", operation_id="list_executions", dependencies=READ, summary="A page of the history", response_model=ExecutionList
)
async def list_executions(
    request: Request,
    query: Annotated[ExecutionsQuery, Query()],
    executions: Reader,
    replay: Replay,
    queries: Queries,
) -> Response:
    """Newest first. By `offset` with a `total`, or by `cursor`; any answer tells the cursor of the next page.

    With `as_of`: as the list was at that time, by `cursor`, and by `status` at that time.
    """
    filters = _filters(query)
    rows: Sequence[ExecutionHistory]
    if query.id is not None:
        rows, cursor = await _by_id(query, executions), None
        total = len(rows)
    elif query.as_of is not None:
        rows, cursor = await _page_as_of(query, replay)
        total = None
    elif query.cursor is None and (query.total or query.offset):
        rows, total = await executions.get_execution_history(query.limit, query.offset, **filters)
        more = rows and query.offset + len(rows) < total
        cursor = Cursor(rows[-1].created_at, rows[-1].id).encode() if more else None
    elif query.offset:
        raise InvalidInput(field="offset", problem="does not go with a cursor", remedy="Send one of them.")
    else:
        rows, cursor = await executions.get_execution_page(query.limit, query.cursor, **filters)
        total = None
    creators = None
    if query.creators:
        actors = await queries.creators(row.execution_id for row in rows)
        creators = {row.job_id: actors.get(row.execution_id) for row in rows}
    body = {"executions": [execution_body(row) for row in rows], "total": total, "next_cursor": cursor}
    return linked(json_response(body | {"creators": creators}), request, next=cursor)


async def _page_as_of(query: ExecutionsQuery, replay: Replay) -> HistoryPage:
    assert query.as_of is not None
    given = query.model_fields_set - {"as_of", "limit", "cursor", "status", *_BESIDE}
    if given:
        raise InvalidInput(
            field=min(given), problem="does not go with as_of", remedy="Send status, limit and cursor beside it."
        )
    return await replay.history_at(query.as_of, query.limit, query.cursor, status=query.status)


async def _by_id(query: ExecutionsQuery, executions: ExecutionRepository) -> list[ExecutionHistory]:
    assert query.id is not None
    given = query.model_fields_set - {"id", "limit", *_BESIDE}
    if given:
        raise InvalidInput(field=min(given), problem="does not go with an id", remedy="Send the id alone.")
    found = await executions.get(query.id)
    return [] if found is None else [found]


def _filters(query: ExecutionsQuery) -> HistoryFilters:
    aside = {"id", "limit", "offset", "cursor", "as_of", *_BESIDE}
    given: dict[str, Any] = query.model_dump(exclude=aside, exclude_none=True)
    if "attributes" in given:
        try:
            given["attributes"] = msgspec.json.decode(given["attributes"])
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                field="attributes", problem="is not JSON", remedy='Send a JSON object, as {"team":"finance"}.'
            ) from error
    return cast(HistoryFilters, given)


@router.get(
    "/{execution_id}",
    operation_id="get_execution",
    dependencies=READ,
    summary="An execution as it is now",
    response_model=Execution,
    responses=problem_docs.READ,
)
async def get_execution(
    request: Request, execution_id: ExecutionId, moment: Annotated[MomentQuery, Query()], find: Finder
) -> Response:
    """By the caller's job id. The `ETag` is its version, for `If-Match` on a change.

    With `version` or `as_of`: as it was then.
    """
    if moment.version is None and moment.as_of is None:
        return execution_response(await find(execution_id))
    async with replaying(request) as replay:
        state = await replay.state_at(execution_id, version=moment.version, as_of=moment.as_of, by=moment.by)
    return execution_response(EXECUTIONS.load(existing(existing(state).row)))


@router.patch(
    "/{execution_id}",
    operation_id="update_execution",
    dependencies=WRITE,
    summary="Change fields",
    response_model=Execution,
    responses=problem_docs.CHANGE,
)
@takes(ExecutionUpdate)
async def update_execution(
    execution_id: ExecutionId, body: Body, executions: Writer, options: ChangeOptions
) -> Response:
    """A field that is left out stays, null empties it. A `status` among them must follow from the present one."""
    changed = await executions.update_execution(execution_id, body.given(), **with_body(options, body))
    return written_response(executions, changed)


@router.delete(
    "/{execution_id}",
    status_code=204,
    operation_id="delete_execution",
    dependencies=WRITE,
    summary="Take an execution out of the history",
    responses=problem_docs.DELETE,
)
async def delete_execution(execution_id: ExecutionId, executions: Writer, options: ChangeOptions) -> Response:
    """Its events stay, its timeline too; its job id is never free again."""
    if not await executions.delete(execution_id, **options):
        raise Problem(EXECUTION_NOT_FOUND)
    return Response(status_code=204, headers=position_header(executions.position))
