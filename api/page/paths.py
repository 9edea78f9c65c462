"""Which paths are the page's own."""

from __future__ import annotations

import re
from urllib.parse import unquote

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


_LONGEST = 2_000
_URL = re.compile(r"(?P<path>/(run/(?P<run>[!-~]+?))?|/[a-z]+)(\?[!-~]*)?")
"""As browsers send one: ASCII that is seen."""
_NEVER = re.compile(r"[\\#]")
"""A browser takes a backslash for a slash, and does not send what follows a number sign."""


def is_view(url: str) -> bool:
    """Whether a URL, without a host, leads to a view of this page and, however a browser reads it, nowhere else."""
    found = _URL.fullmatch(url) if len(url) <= _LONGEST else None
    if found is None or _NEVER.search(url):
        return False
    run = found["run"]
    if run is None:
        return found["path"] in _EXACT
    return "/" not in run and unquote(run) not in (".", "..")
