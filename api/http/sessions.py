"""Sessions of the page: a signed cookie that stands for a key or a token, for some hours, and never holds it."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import msgspec
from starlette.requests import cookie_parser

from ...infrastructure import Settings
from .principal import Principal

COOKIE = "execution_ledger_session"
PAGE_HEADER = ("x-requested-with", "execution-ledger-page")
"""What only a script of the same origin can send: a form cannot, and for another origin's a browser asks first."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What the cookie says."""

    expires_at: datetime
    ledger: str
    key_id: str | None = None
    """Of the key that it stands for, which is looked up each time; None for a token."""
    actor: str | None = None
    scopes: tuple[str, ...] = ()
    """Of the token, which nobody can revoke."""


class Sessions:
    """Makes and reads them."""

    def __init__(self, settings: Settings) -> None:
        given = settings.session_secret
        secret = secrets.token_bytes(32) if given is None else given.get_secret_value().encode()
        self._key = sha256(b"execution-ledger session\0" + secret).digest()
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

    def sign(self, session: Session) -> str:
        """The value of the cookie."""
        body = urlsafe_b64encode(msgspec.json.encode(session)).rstrip(b"=")
        return f"{body.decode()}.{self._signature(body)}"

    def read(self, value: str, now: datetime) -> Session | None:
        """What a cookie says; None where it was not made here, or is over."""
        body, _, signature = value.partition(".")
        if not (value.isascii() and hmac.compare_digest(self._signature(body.encode()), signature)):
            return None
        session = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Session)
        return session if session.expires_at > now else None

    def _signature(self, body: bytes) -> str:
        return hmac.new(self._key, body, sha256).hexdigest()


def find_cookie(headers: Mapping[str, str]) -> str | None:
    """The cookie of a request."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


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


def set_cookie(value: str, headers: Mapping[str, str], seconds: int) -> str:
    """The header that gives a browser the cookie; with 0 seconds, that takes it away."""
    cookie: SimpleCookie = SimpleCookie({COOKIE: value})
    morsel = cookie[COOKIE]
    morsel["path"], morsel["max-age"] = "/", seconds
    morsel["httponly"], morsel["samesite"] = True, "Strict"
    if headers.get("origin", "").startswith("https://"):  # only the browser knows, behind a proxy
        morsel["secure"] = True
    return morsel.OutputString()


def _host(origin: str) -> str | None:
    return urlsplit(origin).netloc or None
