"""What keeps a service without authentication to this machine, and job ids with a slash in one piece."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ...domain import InvalidInput
from .problem_kinds import FOREIGN_ORIGIN, MISDIRECTED
from .problems import problem_response


def check_loopback(host: str) -> None:
    """Refuse an address that other machines could reach; a name is looked up."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        found = []
    if not found or not all(_is_loopback(str(entry[4][0])) for entry in found):
        raise InvalidInput(
            field="host",
            problem=f"{host!r} is not a loopback address, and nobody is asked for a key",
            remedy="Listen on 127.0.0.1 or ::1, or set EXECUTION_LEDGER_AUTH=on and make a key: "
            "`execution-ledger keys create`.",
        )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


class LoopbackOnly:
    """Refuses what a page of another site makes a browser send here, by its Host (DNS rebinding) or its Origin."""

    def __init__(self, app: ASGIApp, origins: Collection[str] = ()) -> None:
        self.app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            authority = headers.get("host", "")
            if not _is_ours(authority):
                refusal = problem_response(MISDIRECTED, f"The Host {authority[:80]!r} is not a loopback address.")
                return await refusal(scope, receive, send)
            origin = headers.get("origin")
            if origin not in (None, f"{scope['scheme']}://{authority}", *self._origins):
                refusal = problem_response(FOREIGN_ORIGIN, f"The Origin {(origin or '')[:80]!r} is not this service.")
                return await refusal(scope, receive, send)
        return await self.app(scope, receive, send)


@lru_cache(maxsize=100)
def _is_ours(authority: str) -> bool:
    name = _host_name(authority)
    return name == "localhost" or _is_loopback(name)


def _host_name(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


_DOTS = re.compile(r"/=(\.\.?)(?=/|$)")


def path_part(text: str) -> str:
    """An id as a part of a path, which every client sends as it is: see `RawPaths`."""
    return f"={text}" if text in (".", "..") else quote(text, safe="")


class RawPaths:
    """Routes see the path as it was sent, still escaped: `%2F` is a character of a job id, not the end of it.

    Browsers and proxies take `.` and `..` for folders, `%2E` as well, so that such an id is sent behind a bare `=`. The
    id `=.` itself is there, too, escaped as `%3D.`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its raw path."""
        if scope["type"] == "http":
            path = scope["raw_path"].decode("ascii", "replace")
            scope["path"] = _DOTS.sub(lambda found: "/" + "%2E" * len(found[1]), path)
        await self.app(scope, receive, send)
