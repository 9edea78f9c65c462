"""Who calls, and what they may: by API key or token; without authentication, whoever is on this machine."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...domain import LedgerError
from ...infrastructure import SCOPES, find_key
from ...infrastructure.api_keys import ApiKey, find_active, is_key
from ...infrastructure.event_store import utc_now
from ...infrastructure.short_transactions import transact
from ..page import is_for_page, is_of_page, page_response
from ..runtime import Ledger
from .principal import Principal
from .problem_kinds import FOREIGN_ORIGIN, SCOPE_MISSING, UNAUTHENTICATED
from .problems import Problem, ledger_problem, problem_response
from .sessions import Sessions, find_cookie, is_from_page
from .sign_in import CALLBACK
from .sign_in import PATH as SIGN_IN
from .tokens import Tokens

_REMEMBERED = 10_000
"""Credentials whose answers are kept; when there are more, all are asked for again."""

_EVERYTHING = frozenset(SCOPES)

OPEN = frozenset({"/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"})
"""Paths that tell nothing of any ledger (`/metrics` has a token of its own)."""

SIGNING_IN = frozenset({SIGN_IN, CALLBACK})
"""Paths for whoever is not known yet, and may do nothing else: their address is who calls."""


class Authenticator:
    """Finds out who calls. Answers are remembered for a few seconds, good ones and others."""

    def __init__(self, ledger: Ledger, tokens: Tokens | None) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self.sessions = Sessions(ledger.settings)
        self._cache: dict[str, tuple[float, Principal | None]] = {}

    async def authenticate(self, credential: str) -> Principal | None:
        """Who has this key or token; None where it is not good."""
        return await self._remembered(credential, self._find)

    async def authenticate_session(self, cookie: str) -> Principal | None:
        """Whom this cookie stands for; None where it is not good, or its key is not any more."""
        session = self.sessions.read(cookie, utc_now())
        if session is None:
            return None
        found = await self._remembered(cookie, self._find_session)
        return None if found is None else replace(found, session_ends_at=session.expires_at)

    async def _remembered(
        self, credential: str, find: Callable[[str], Awaitable[Principal | None]]
    ) -> Principal | None:
        now = time.monotonic()
        known = self._cache.get(credential)
        if known is not None and known[0] > now:
            return known[1]
        found = await find(credential)
        if len(self._cache) >= _REMEMBERED:
            self._cache.clear()
        self._cache[credential] = (now + self._ledger.settings.key_cache, found)
        return found

    async def _find(self, credential: str) -> Principal | None:
        if not is_key(credential):
            return None if self._tokens is None else await self._tokens.find(credential)
        key = await transact(self._ledger.engine, lambda connection: find_key(connection, credential, now=utc_now()))
        return None if key is None else _principal(key)

    async def _find_session(self, cookie: str) -> Principal | None:
        session = self.sessions.read(cookie, utc_now())
        if session is None:
            return None
        key_id = session.key_id
        if key_id is None:
            return Principal(f"token {session.actor}", session.actor, session.ledger, frozenset(session.scopes))
        key = await transact(
            self._ledger.engine,
            lambda connection: find_active(connection, session.ledger, key_id, now=utc_now()),
        )
        return None if key is None else _principal(key)


def _principal(key: ApiKey) -> Principal:
    scopes = frozenset(key.scopes)
    return Principal(f"key {key.key_id}", key.name, key.ledger_id, scopes, key.key_id, key.expires_at)


class Authentication:
    """Lets nobody pass whose credentials are not good, before a byte of a body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on with its principal."""
        if scope["type"] != "http" or scope["path"] in OPEN or is_of_page(scope["path"]):
            return await self.app(scope, receive, send)
        state = scope["app"].state
        if not state.settings.auth or scope["path"] in SIGNING_IN:
            client = scope.get("client") or ("local",)
            found = Principal(client[0], None, None, frozenset() if state.settings.auth else _EVERYTHING)
        else:
            headers = Headers(scope=scope)
            credential, cookie = _credential(headers), find_cookie(headers, state.settings.public_url)
            try:
                found = None
                if credential is not None:
                    found = await state.authenticator.authenticate(credential)
                elif cookie is not None:
                    if not is_from_page(scope["method"], headers):
                        refusal = problem_response(FOREIGN_ORIGIN, "A session is for the page of this service alone.")
                        return await refusal(scope, receive, send)
                    found = await state.authenticator.authenticate_session(cookie)
            except LedgerError as error:  # the database does not answer
                return await ledger_problem(error)(scope, receive, send)
            except Problem as error:  # nor does the issuer
                return await problem_response(error.kind, str(error.detail))(scope, receive, send)
            if found is None and is_for_page(scope["method"], scope["path"], headers.get("accept", "")):
                return await page_response(Request(scope), 404)(scope, receive, send)
            if found is None:
                given = credential is not None or cookie is not None
                what = "The key, token or session is not good." if given else "There is no key or token."
                refusal = problem_response(UNAUTHENTICATED, what, headers={"WWW-Authenticate": "Bearer"})
                return await refusal(scope, receive, send)
        scope.setdefault("state", {})["principal"] = found
        return await self.app(scope, receive, send)


def _credential(headers: Headers) -> str | None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get("x-api-key")


class Needs(HTTPBearer):
    """A dependency: refuse whoever lacks a scope. Each route has one; a test walks them all.

    None for a route that tells whoever is known of themselves.
    """

    def __init__(self, scope: str | None) -> None:
        super().__init__(
            scheme_name="HTTPBearer",
            description="An API key (`execution-ledger keys create`) or an OIDC access token, if the service asks.",
        )
        self.scope = scope

    async def __call__(self, request: HTTPConnection) -> None:
        """Refuse, or let pass: `Authentication` has found out who it is."""
        if self.scope is not None and self.scope not in request.state.principal.scopes:
            raise Problem(SCOPE_MISSING, f"This needs the scope {self.scope!r}.", scope=self.scope)


ANYBODY = [Depends(Needs(None))]
READ, WRITE, AUDIT, ADMIN = ([Depends(Needs(scope))] for scope in SCOPES)
