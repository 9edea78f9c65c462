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
