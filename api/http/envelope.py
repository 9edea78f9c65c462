"""What surrounds every request: its id, bounds on its headers, headers of the answer, and a line in the log."""

from __future__ import annotations

import logging
import random
import re
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .logs import REQUEST_ID
from .problem_kinds import HEADERS_TOO_LARGE
from .problems import problem_response

_log = logging.getLogger("execution_ledger.access")

_ID = re.compile(r"[\x21-\x7e]{1,128}")
_HEADER_BYTES = 32 * 1024
_SECURE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Envelope:
    """The outermost of the app's middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        given_id = given if _ID.fullmatch(given) else None
        request_id = given_id or f"{random.getrandbits(128):032x}"
        state = scope.setdefault("state", {})
        state["given_id"] = given_id
        REQUEST_ID.set(request_id)
        began, status = time.monotonic(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                message["headers"] += [(b"x-request-id", request_id.encode())]
                message["headers"] += [header for header in _SECURE if header[0] not in given]
            await send(message)

        app: ASGIApp = self.app
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _HEADER_BYTES:
            app = problem_response(HEADERS_TOO_LARGE, f"They have more than {_HEADER_BYTES:,} bytes.")
        try:
            await app(scope, receive, send_on)
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "operation_id", None)
            scope["app"].state.metrics.count(scope["method"], route, status, seconds)
            principal = state.get("principal")
            _log.info(
                "%s %s %d", scope["method"], scope["path"], status,
                extra={
                    "action": "http_request", "route": route, "status": status, "seconds": round(seconds, 6),
                    "caller": None if principal is None else principal.name,
                },
            )  # fmt: skip
