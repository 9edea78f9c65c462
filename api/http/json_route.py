"""Bodies: bounded before they are read, compressed or not, and JSON to the letter of RFC 8259."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any, TypeVar

import msgspec
from fastapi import Request, Response

from .encodings import decoder
from .headers import Route
from .problem_kinds import BODY_TOO_LARGE, MALFORMED_JSON, NOT_JSON
from .problems import Problem

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])

_SLACK = 64 * 1024
"""Bytes of a body beside its payload: names, context, white space."""


def body_limit(max_payload_bytes: int) -> int:
    """Bytes of the largest body: JSON may spell a character of 2 bytes with 6, as many encoders do."""
    return 3 * max_payload_bytes + _SLACK


class JsonRequest(Request):
    """A request whose body is bounded, and strictly JSON."""

    async def body(self) -> bytes:
        """The body; refused as soon as it is known to be too large, or not JSON."""
        if not hasattr(self, "_body"):
            limit = body_limit(self.app.state.settings.max_payload_bytes)
            sent = decoder(self.headers.get("content-encoding", ""))
            size, received, chunks = 0, _announced(self), []
            if received <= limit:
                received = 0
                async for chunk in self.stream():
                    chunks.append(sent.unpack(chunk, limit + 1 - size))
                    size, received = size + len(chunks[-1]), received + len(chunk)
                    if max(size, received) > limit:
                        break
            if max(size, received) > limit:
                raise Problem(BODY_TOO_LARGE, f"The body has more than {limit:,} bytes.", field="body")
            sent.end()
            self._body = b"".join(chunks)
            if self._body and not _is_json(self.headers.get("content-type", "")):
                raise Problem(NOT_JSON)
        return self._body

    async def json(self) -> Any:
        """The body decoded; NaN, lone surrogates and whatever else JSON does not know is refused."""
        try:
            return msgspec.json.decode(await self.body())
        except RecursionError as error:
            raise Problem(MALFORMED_JSON, "The body is nested too deeply.", field="body") from error
        except ValueError as error:  # msgspec's own errors, and bytes that are not UTF-8
            raise Problem(MALFORMED_JSON, f"The body cannot be read: {error}.", field="body") from error


class JsonRoute(Route):
    """A route that reads its body so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given our request."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            answer = await handle(JsonRequest(request.scope, request.receive))
            return _minimal(answer) if _is_written(request, answer) and _wants_minimal(request) else answer

        return handle_json


def _is_written(request: Request, answer: Response) -> bool:
    """Whether the answer is the execution after a write."""
    return request.method != "GET" and answer.status_code in (200, 201) and "etag" in answer.headers


def _wants_minimal(request: Request) -> bool:
    preferences = ",".join(request.headers.getlist("prefer")).replace(" ", "").replace('"', "").lower().split(",")
    return any(each.partition(";")[0] == "return=minimal" for each in preferences)


def _minimal(answer: Response) -> Response:
    """The headers alone (RFC 7240)."""
    kept = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
    status = 204 if answer.status_code == 200 else answer.status_code
    return Response(None, status, {**kept, "Preference-Applied": "return=minimal"})


def takes(model: Any) -> Callable[[_Endpoint], _Endpoint]:
    """Say which model the `body` of an endpoint is: one that is made, so that no annotation can name it."""

    def annotate(endpoint: _Endpoint) -> _Endpoint:
        endpoint.__annotations__["body"] = model
        return endpoint

    return annotate


def _announced(request: Request) -> int:
    """The size that the headers tell, 0 where they do not."""
    length = request.headers.get("content-length", "")
    return int(length[:18]) if length.isascii() and length.isdigit() else 0


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type or "text/plain"
    kind, subtype = message.get_content_maintype(), message.get_content_subtype()
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))
