"""The header `Link`: where other pages are."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response


def linked(response: Response, request: Request, **pages: dict[str, Any]) -> Response:
    """Name other pages by their relation: the same query, with these parameters in place of its own."""
    links = [
        f'<{_url(request, changed)}>; rel="{relation}"'
        for relation, changed in pages.items()
        if all(value is not None for value in changed.values())
    ]
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def _url(request: Request, changed: dict[str, Any]) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in changed]
    return f"{request.scope['path']}?{urlencode([*kept, *changed.items()])}"
