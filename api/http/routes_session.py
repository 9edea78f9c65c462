"""Who calls: for the page, which shows what they may do, and logs in and out."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request, Response

from ...infrastructure import SCOPES
from ...infrastructure.event_store import utc_now
from . import problem_docs
from .answers import SessionAnswer
from .authentication import ANYBODY
from .dependencies import get_ledger
from .headers import Route
from .problem_kinds import NOT_FOUND
from .problems import Problem
from .responses import json_response
from .sessions import Sessions, is_secure, set_cookie

router = APIRouter(prefix="/session", tags=["service"], route_class=Route, dependencies=ANYBODY)


@router.get("", operation_id="get_session", summary="Who calls, and what they may", response_model=SessionAnswer)
async def get_session(request: Request) -> Response:
    """Of the key, token or session that the request carries."""
    return json_response(_body(request, request.state.principal.session_ends_at))


@router.post(
    "",
    operation_id="begin_session",
    summary="Log a browser in",
    response_model=SessionAnswer,
    responses=problem_docs.SESSION,
)
async def begin_session(request: Request) -> Response:
    """Gives a cookie for the key or token in `Authorization`, good for some hours. Where there is no need, 404."""
    if not get_ledger(request).settings.auth:
        raise Problem(NOT_FOUND, "Nobody needs a key here.")
    sessions: Sessions = request.app.state.authenticator.sessions
    now = utc_now()
    session = sessions.begin(request.state.principal, now)
    seconds = int((session.expires_at - now).total_seconds())
    cookie = set_cookie(sessions.sign(session), seconds, secure=is_secure(request.headers))
    return json_response(_body(request, session.expires_at), headers={"Set-Cookie": cookie})


@router.delete("", status_code=204, operation_id="end_session", summary="Log a browser out")
async def end_session() -> Response:
    """Takes the cookie away, by either of its names."""
    response = Response(status_code=204)
    for secure in (True, False):
        response.headers.append("Set-Cookie", set_cookie("", 0, secure=secure))
    return response


def _body(request: Request, expires_at: datetime | None) -> dict[str, object]:
    principal, settings = request.state.principal, get_ledger(request).settings
    return {
        "auth": settings.auth,
        "actor": principal.actor or settings.actor,
        "ledger": principal.ledger or settings.ledger,
        "scopes": [scope for scope in SCOPES if scope in principal.scopes],
        "expires_at": expires_at,
    }
