"""How an execution was: its events, two moments, who set what, another run beside it, played again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from ...projections import play_run
from ...projections.replay.moments import version_or_time
from . import problem_docs
from .answers import ComparisonAnswer, DiffAnswer, ExecutionEvents, ExplanationAnswer, SpansAnswer
from .authentication import READ
from .dependencies import ExecutionId, LedgerName, Replay, get_ledger
from .headers import Route
from .problems import existing
from .query_schemas import CompareQuery, DiffQuery, ExplainQuery, ReplayQuery, SpansQuery, TimelineQuery
from .responses import event_body, json_response, row_body, spans_response
from .sse import message, sse_response

router = APIRouter(prefix="/executions/{execution_id}", tags=["executions"], route_class=Route)


@router.get(
    "/events",
    operation_id="list_execution_events",
    summary="The events of an execution",
    dependencies=READ,
    response_model=ExecutionEvents,
    responses=problem_docs.NOT_FOUND,
)
async def list_execution_events(
    execution_id: ExecutionId, query: Annotated[TimelineQuery, Query()], replay: Replay
) -> Response:
    """In order, a page at a time. Deleted executions still have them."""
    found = existing(await replay.timeline(execution_id, limit=query.limit, from_version=query.from_version))
    body = {"job_id": found.job_id, "events": [event_body(each) for each in found.events]}
    return json_response(body | {"next_version": found.next_version})


@router.get(
    "/spans",
    operation_id="get_spans",
    summary="Its statuses and steps as stretches of time",
    dependencies=READ,
    response_model=SpansAnswer,
    responses=problem_docs.NOT_FOUND,
)
async def get_spans(execution_id: ExecutionId, query: Annotated[SpansQuery, Query()], replay: Replay) -> Response:
    """A page at a time, each on the page on which it begins; ends that lie on a later page are told there."""
    return spans_response(execution_id, await replay.spans(execution_id, **query.model_dump()))


@router.get(
    "/diff",
    operation_id="diff_execution",
    summary="What changed between two moments",
    dependencies=READ,
    response_model=DiffAnswer,
    responses=problem_docs.NOT_FOUND,
)
async def diff_execution(execution_id: ExecutionId, query: Annotated[DiffQuery, Query()], replay: Replay) -> Response:
    """Field by field and, inside JSON values, path by path."""
    after = None if query.after is None else version_or_time(query.after)
    return json_response(existing(await replay.diff(execution_id, version_or_time(query.before), after, by=query.by)))


@router.get(
    "/explain",
    operation_id="explain_execution",
    summary="Who set each value, when and why",
    dependencies=READ,
    response_model=ExplanationAnswer,
    responses=problem_docs.NOT_FOUND,
)
async def explain_execution(
    execution_id: ExecutionId, query: Annotated[ExplainQuery, Query()], replay: Replay
) -> Response:
    """The event behind each field, as it is now or was at a moment; a field that was never set is left out."""
    found = existing(
        await replay.explain(execution_id, query.field, version=query.version, as_of=query.as_of, by=query.by)
    )
    return json_response({"job_id": execution_id, "fields": found})


@router.get(
    "/compare",
    operation_id="compare_executions",
    summary="Another run beside it",
    dependencies=READ,
    response_model=ComparisonAnswer,
    responses=problem_docs.NOT_FOUND,
)
async def compare_executions(
    execution_id: ExecutionId, query: Annotated[CompareQuery, Query()], replay: Replay
) -> Response:
    """Step by step, with the first divergence."""
    return json_response(await replay.compare(execution_id, query.other))


@router.get(
    "/replay",
    operation_id="replay_execution",
    summary="Play it again",
    dependencies=READ,
    response_class=StreamingResponse,
    responses={**problem_docs.NOT_FOUND, **problem_docs.STREAM},
)
async def replay_execution(
    request: Request,
    execution_id: ExecutionId,
    query: Annotated[ReplayQuery, Query()],
    replay: Replay,
    ledger: LedgerName,
) -> Response:
    """Server-sent events: a `frame` for each of its events when it is due, with the execution after it; then `end`."""
    existing(await replay.state_at(execution_id))
    player = play_run(
        get_ledger(request).engine,
        execution_id,
        ledger=ledger,
        speed=query.speed or None,
        from_version=query.from_version,
        to_version=query.to_version,
        by=query.by,
        longest_wait=query.longest_wait,
    )
    return sse_response(request, _frames(player))


async def _frames(player: Any) -> AsyncIterator[bytes]:
    async for frame in player:
        state = None if frame.state is None else row_body(frame.state)
        body = {"event": event_body(frame.event), "execution": state, "at": frame.at}
        yield message(body, id=frame.event.version, event="frame")
    yield message({}, event="end")
