"""How runs ended, how long they took and waited, why they failed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from .answers import EndedRuns, FailureReasons, StatisticsAnswer
from .authentication import READ
from .dependencies import Statistics
from .headers import Route
from .query_schemas import EndedRunsQuery, StatisticsQuery, WindowQuery
from .responses import json_response

router = APIRouter(prefix="/statistics", tags=["statistics"], route_class=Route)


def _window(query: WindowQuery) -> dict[str, Any]:
    return query.model_dump(include=set(WindowQuery.model_fields), exclude_none=True)


@router.get(
    "",
    operation_id="get_statistics",
    summary="Counts and percentiles",
    dependencies=READ,
    response_model=StatisticsAnswer,
)
async def get_statistics(query: Annotated[StatisticsQuery, Query()], statistics: Statistics) -> Response:
    """Of runs that ended in whole hours of UTC: by outcome, with percentiles of durations and queue times."""
    groups = await statistics.statistics(**_window(query), by=query.by, after=query.after)
    return json_response({"groups": groups})


@router.get(
    "/most-failing",
    operation_id="list_most_failing",
    summary="Names with the most failed runs",
    dependencies=READ,
    response_model=StatisticsAnswer,
)
async def list_most_failing(query: Annotated[WindowQuery, Query()], statistics: Statistics) -> Response:
    """The one with the most first."""
    return json_response({"groups": await statistics.most_failing(**_window(query))})


@router.get(
    "/failure-reasons",
    operation_id="list_failure_reasons",
    summary="Why runs failed",
    dependencies=READ,
    response_model=FailureReasons,
)
async def list_failure_reasons(query: Annotated[WindowQuery, Query()], statistics: Statistics) -> Response:
    """Errors that are alike, the commonest first."""
    return json_response({"reasons": await statistics.failure_reasons(**_window(query))})


@router.get(
    "/longest", operation_id="list_longest_runs", summary="Longest runs", dependencies=READ, response_model=EndedRuns
)
async def list_longest_runs(query: Annotated[EndedRunsQuery, Query()], statistics: Statistics) -> Response:
    """The longest first; with `reason`, those that failed for it."""
    return json_response({"runs": await statistics.longest_runs(**_window(query), reason=query.reason)})


@router.get(
    "/most-retried",
    operation_id="list_most_retried",
    summary="Runs with the most attempts",
    dependencies=READ,
    response_model=EndedRuns,
)
async def list_most_retried(query: Annotated[WindowQuery, Query()], statistics: Statistics) -> Response:
    """The one with the most first."""
    return json_response({"runs": await statistics.most_retried(**_window(query))})
