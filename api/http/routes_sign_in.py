"""The way to the OIDC issuer and back, which a browser goes without credentials: it comes to get a session."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.requests import cookie_parser

from ...domain import InvalidInput
from ...infrastructure.event_store import utc_now
from ..page import is_view
from . import problem_docs
from .dependencies import get_ledger
from .headers import Route
from .problem_kinds import NOT_FOUND
from .problems import Problem
from .sessions import Sessions, set_cookie
from .sign_in import CALLBACK, COOKIE, Failure, SignIn, SignInFailed, sign_in_cookie, tell_failure
from .signed import cookie_name

router = APIRouter(prefix="/session/oidc", tags=["service"], route_class=Route)

_Text = Annotated[str | None, Query()]


@router.get(
    "",
    status_code=303,
    operation_id="begin_sign_in",
    summary="Send a browser to sign in",
    response_class=Response,
    responses=problem_docs.SIGN_IN,
)
async def begin_sign_in(
    request: Request,
    following: Annotated[str, Query(alias="next", description="The view of the page to come back to.")] = "/",
) -> Response:
    """To the OIDC issuer, with a cookie of ten minutes; where it does not answer, to the page, which tells so."""
    sign_in = _offered(request)
    if not is_view(following):
        raise InvalidInput(
            field="next", problem=f"{following[:40]!r} is no view of this page", remedy="Send a path, as /run/7?at=3."
        )
    try:
        url, cookie = await sign_in.begin(following, _address(request, CALLBACK), utc_now())
    except SignInFailed as failed:
        return _not_signed_in(failed, following)
    return _redirect(url, sign_in_cookie(cookie, secure=_is_secure(request)))


@router.get(
    "/callback",
    status_code=303,
    operation_id="finish_sign_in",
    summary="Take a browser back that signed in",
    response_class=Response,
    responses=problem_docs.SIGN_IN,
)
async def finish_sign_in(
    request: Request,
    state: _Text = None,
    code: _Text = None,
    iss: _Text = None,
    error: _Text = None,
    error_description: _Text = None,
) -> Response:
    """From the OIDC issuer: to the page, with a session as `begin_session` gives, or with a word on what is wrong."""
    sign_in, now, secure = _offered(request), utc_now(), _is_secure(request)
    cookie = cookie_parser(request.headers.get("cookie", "")).get(cookie_name(COOKIE, secure=secure))
    begun = sign_in.find_begun(cookie, state, now)
    if begun is None:  # the cookie stays, so that nobody else's link ends what this browser has begun
        return _not_signed_in(SignInFailed(Failure.EXPIRED, "this browser did not begin it, or too long ago"), None)
    over = sign_in_cookie("", secure=secure)
    said = {"code": code, "iss": iss, "error": error, "error_description": error_description}
    try:
        principal = await sign_in.finish(begun, said, _address(request, CALLBACK))
    except SignInFailed as failed:
        return _not_signed_in(failed, begun.next, over)
    sessions: Sessions = request.app.state.authenticator.sessions
    session = sessions.begin(principal, now)
    seconds = int((session.expires_at - now).total_seconds())
    return _redirect(begun.next, over, set_cookie(sessions.sign(session), seconds, secure=secure))


def _offered(request: Request) -> SignIn:
    sign_in: SignIn | None = request.app.state.sign_in
    if sign_in is None or not get_ledger(request).settings.auth:
        raise Problem(NOT_FOUND, "Nobody signs in by OIDC here.")
    return sign_in


def _address(request: Request, path: str = "") -> str:
    """Where people reach this service, by the settings or else by what the request says.

    A proxy that ends TLS says so; nobody can make another's browser send that header, and an address that is wrong is
    refused by the issuer, which knows the right one.
    """
    given = get_ledger(request).settings.public_url
    if given is not None:
        return given.rstrip("/") + path
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    scheme = forwarded if forwarded in ("http", "https") else request.url.scheme
    return f"{scheme}://{request.headers.get('host', '')}{path}"


def _is_secure(request: Request) -> bool:
    return _address(request).startswith("https://")


def _not_signed_in(failed: SignInFailed, following: str | None, *cookies: str) -> Response:
    tell_failure(failed)
    query = {"problem": str(failed.failure)} | ({} if following in (None, "/") else {"next": following})
    return _redirect(f"/login?{urlencode(query)}", *cookies)


def _redirect(url: str, *cookies: str) -> Response:
    response = Response(status_code=303, headers={"Location": url})
    for cookie in cookies:
        response.headers.append("Set-Cookie", cookie)
    return response
