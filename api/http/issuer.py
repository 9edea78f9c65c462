"""The OIDC issuer, as the service asks it: what it says of itself, and its token endpoint.

By urllib, as PyJWT asks for its keys, so that one set of certificates counts for all of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from .problem_kinds import ISSUER_UNAVAILABLE
from .problems import Problem

TIMEOUT = 5
"""Seconds that the issuer gets to answer."""
_FRESH = 300.0
"""Seconds for which its discovery document is kept."""
_THREADS = 4
"""In which it is asked."""

_T = TypeVar("_T")

_log = logging.getLogger("execution_ledger.api")


class Issuer:
    """One issuer. All of this waits for it: call it by `ask`. Raises a `Problem` where it does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._document: dict[str, Any] = {}
        self._read_at = float("-inf")
        self._threads = ThreadPoolExecutor(_THREADS, "issuer")

    async def ask(self, call: Callable[..., _T], *arguments: Any) -> _T:
        """Call what waits for it, in threads for this alone: where it hangs, nothing else has to wait."""
        run = partial(copy_context().run, call, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def endpoint(self, name: str) -> str:
        """A URL that its discovery document names."""
        found = self.discover().get(name)
        schemes = ("https://",) if self.url.startswith("https://") else ("https://", "http://")
        if not (isinstance(found, str) and found.startswith(schemes)):
            raise _unavailable(f"its discovery document names no {name} by {' or '.join(schemes)}")
        return found

    def discover(self) -> dict[str, Any]:
        """Its discovery document."""
        if time.monotonic() - self._read_at > _FRESH:
            status, document = _ask(Request(f"{self.url.rstrip('/')}/.well-known/openid-configuration"))
            if status != 200:
                raise _unavailable(f"its discovery document is answered with {status}")
            if document.get("issuer") != self.url:  # OpenID Connect Discovery, 4.3
                raise _unavailable(f"its discovery document is of {document.get('issuer')!r}, not of {self.url!r}")
            self._document, self._read_at = document, time.monotonic()
        return self._document

    def exchange(self, form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """What its token endpoint answers, as status and JSON."""
        body = urlencode(form).encode()
        request = Request(self.endpoint("token_endpoint"), body, {"Accept": "application/json", **headers})
        status, answer = _ask(request)
        if status >= 500 or status == 429:
            raise _unavailable(f"its token endpoint answers {status}")
        return status, answer


class _Stay(HTTPRedirectHandler):
    """Follows nobody: what is told a secret, and all that is believed, is the very URL that was asked."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """Refuse it."""
        fp.close()
        raise URLError(f"it leads to {newurl}, where nobody follows")


def _ask(request: Request) -> tuple[int, dict[str, Any]]:
    try:
        try:
            with build_opener(_Stay).open(request, timeout=TIMEOUT) as answer:
                status, text = answer.status, answer.read()
        except HTTPError as refused:
            with refused:
                status, text = refused.code, refused.read()
        document = json.loads(text) if status < 500 else {}
    except (OSError, HTTPException, ValueError) as error:
        raise _unavailable(f"{request.full_url}: {error}") from error
    if not isinstance(document, dict):
        raise _unavailable(f"{request.full_url}: the answer is not a JSON object")
    return status, document


def _unavailable(why: str) -> Problem:
    _log.warning("the issuer of tokens cannot be asked: %s", why, extra={"action": "issuer_unavailable"})
    return Problem(ISSUER_UNAVAILABLE)
