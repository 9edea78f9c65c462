"""Sessions of the page: a signed cookie that stands for a key or a token, for some hours, and never holds it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from starlette.requests import cookie_parser

from ...infrastructure import Settings
from .principal import Principal
from .signed import Expiring, Signed, cookie_header, cookie_name

COOKIE = "execution_ledger_session"
PAGE_HEADER = ("x-requested-with", "execution-ledger-page")
"""What only a script of the same origin can send: a form cannot, and for another origin's a browser asks first."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Session(Expiring, frozen=True, kw_only=True):
    """What the cookie says."""

    ledger: str
    key_id: str | None = None
    """Of the key that it stands for, which is looked up each time; None for a token."""
    actor: str | None = None
    scopes: tuple[str, ...] = ()
    """Of the token, which nobody can revoke."""


class Sessions(Signed[Session]):
    """Makes and reads them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "session", Session)
        self._hours = timedelta(hours=settings.session_hours)

    def begin(self, principal: Principal, now: datetime) -> Session:
        """A session of whoever has called with a key or a token; it ends no later than those do."""
        ends = (now + self._hours, principal.expires_at, principal.session_ends_at)
        end = min(each for each in ends if each is not None)
        assert principal.ledger is not None
        if principal.key_id is not None:
            return Session(expires_at=end, ledger=principal.ledger, key_id=principal.key_id)
        scopes = tuple(sorted(principal.scopes))
        return Session(expires_at=end, ledger=principal.ledger, actor=principal.actor, scopes=scopes)


def find_cookie(headers: Mapping[str, str], public_url: str | None) -> str | None:
    """The cookie of a request; at a public address with TLS, none that another host of its domain can have planted."""
    cookies = cookie_parser(headers.get("cookie", ""))
    found = cookies.get(cookie_name(COOKIE, secure=True))
    if found is not None or (public_url or "").rstrip("/").lower() == f"https://{headers.get('host', '').lower()}":
        return found
    return cookies.get(COOKIE)


def is_from_page(method: str, headers: Mapping[str, str]) -> bool:
    """Whether the page itself sent this, and not another site that made the browser send the cookie along.

    Hosts are compared, not schemes: behind a proxy that ends TLS this service is called over http.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    if method in _SAFE:
        return True
    name, value = PAGE_HEADER
    return headers.get(name) == value and _host(headers.get("origin", "")) == headers.get("host")


def set_cookie(value: str, seconds: int, *, secure: bool) -> str:
    """The header that gives a browser the cookie; with 0 seconds, that takes it away."""
    return cookie_header(COOKIE, value, seconds=seconds, same_site="Strict", secure=secure)


def is_secure(headers: Mapping[str, str]) -> bool:
    """Whether a browser's script sent this from a page that came over https: only the browser knows, behind a proxy."""
    return headers.get("origin", "").startswith("https://")


def _host(origin: str) -> str | None:
    return urlsplit(origin).netloc or None
