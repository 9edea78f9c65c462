"""Which paths are the page's own."""

from __future__ import annotations

VIEWS = ("/", "/run/{run}", "/lanes", "/audit", "/statistics", "/health", "/login")
"""Each answers the same document; what it shows is chosen in the browser."""

ASSETS = "/page"
"""Below it are the files, by the digest of all of them."""

_EXACT = frozenset(VIEWS)
_BELOW = ("/run/", f"{ASSETS}/")


def is_of_page(path: str) -> bool:
    """Whether a path tells nothing but the page itself, so that anybody may have it."""
    return path in _EXACT or path.startswith(_BELOW)


def is_for_page(method: str, path: str, accept: str) -> bool:
    """Whether a path that nobody answers was meant for the page: a browser shows what it gets to a person."""
    return method in ("GET", "HEAD") and "text/html" in accept and not path.startswith("/api/")
