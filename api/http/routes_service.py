"""The process itself: whether it is up, whether it can serve, and its numbers."""

from __future__ import annotations

import asyncio
import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ...domain import LedgerError
from ..runtime import ask_schema
from . import problem_docs
from .answers import Health
from .dependencies import Control, get_ledger
from .headers import Route
from .problem_kinds import NOT_FOUND, NOT_READY, UNAUTHENTICATED
from .problems import Problem
from .responses import json_response

router = APIRouter(tags=["service"], route_class=Route)

_bearer = HTTPBearer(
    scheme_name="MetricsToken", auto_error=False, description="The token of the setting `metrics_token`."
)


@router.get("/healthz", operation_id="get_health", summary="Whether the process is up", response_model=Health)
async def get_health() -> Response:
    """Does not ask the database: restarting the process would not mend it."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Whether it can serve",
    response_model=Health,
    responses=problem_docs.READY,
)
async def get_readiness(request: Request) -> Response:
    """Asks the database, and whether its schema fits."""
    try:
        await ask_schema(get_ledger(request).engine)
    except LedgerError as error:
        raise Problem(NOT_READY, f"{type(error).__name__}: see the log.") from error
    return json_response({"status": "ready"})


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses=problem_docs.METRICS,
)
async def get_metrics(
    request: Request,
    projections: Control,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Response:
    """Of all ledgers: so where callers need a key, this needs the token of the setting `metrics_token`."""
    state = request.app.state
    token = state.settings.metrics_token
    if token is None and state.settings.auth:
        raise Problem(NOT_FOUND)
    if token is not None:
        given = "" if credentials is None else credentials.credentials
        if not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise Problem(UNAUTHENTICATED)
    statuses = await asyncio.to_thread(projections.statuses)
    page = state.metrics.render(state.writer, state.audited, statuses, await state.webhooks.list())
    return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")
