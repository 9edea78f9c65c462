"""The header `Link`: where other pages are."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import urlencode

from fastapi import Request, Response

_Answer = TypeVar("_Answer", bound=Response)


def linked(response: _Answer, request: Request, *, parameter: str = "cursor", **cursors: str | None) -> _Answer:
    """Name other pages by their relation: the same query, each with its own cursor. None: there is no such page."""
    links = [
        f'<{_url(request, parameter, cursor)}>; rel="{relation}"'
        for relation, cursor in cursors.items()
        if cursor is not None
    ]
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def _url(request: Request, parameter: str, cursor: str) -> str:
    # An offset does not go with a cursor.
    kept = [each for each in request.query_params.multi_items() if each[0] not in (parameter, "offset")]
    return f"{request.scope['path']}?{urlencode([*kept, (parameter, cursor)])}"
