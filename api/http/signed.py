"""Cookies that are signed and not stored: what they say was said here, and is not over."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from hashlib import sha256
from http.cookies import SimpleCookie
from typing import Generic, Literal, TypeVar

import msgspec

from ...infrastructure import Settings


class Expiring(msgspec.Struct, frozen=True, kw_only=True):
    """What is true until some moment."""

    expires_at: datetime


_Said = TypeVar("_Said", bound=Expiring)


class Signed(Generic[_Said]):
    """Signs and reads what one kind of cookie says. Each kind has a key of its own: none can stand for another."""

    def __init__(self, settings: Settings, purpose: str, kind: type[_Said]) -> None:
        given = settings.session_secret
        secret = secrets.token_bytes(32) if given is None else given.get_secret_value().encode()
        self._key = sha256(f"execution-ledger {purpose}\0".encode() + secret).digest()
        self._kind = kind

    def sign(self, said: _Said) -> str:
        """The value of the cookie."""
        body = urlsafe_b64encode(msgspec.json.encode(said)).rstrip(b"=")
        return f"{body.decode()}.{self._signature(body)}"

    def read(self, value: str, now: datetime) -> _Said | None:
        """What a cookie says; None where it was not made here, or is over."""
        body, _, signature = value.partition(".")
        if not (value.isascii() and hmac.compare_digest(self._signature(body.encode()), signature)):
            return None
        said = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=self._kind)
        return said if said.expires_at > now else None

    def _signature(self, body: bytes) -> str:
        return hmac.new(self._key, body, sha256).hexdigest()


def cookie_name(name: str, *, secure: bool) -> str:
    """As browsers know it: with this prefix they keep no cookie that came over plain HTTP or of another host."""
    return f"__Host-{name}" if secure else name


def cookie_header(name: str, value: str, *, seconds: int, same_site: Literal["Lax", "Strict"], secure: bool) -> str:
    """The header that gives a browser a cookie that no script can read; with 0 seconds, that takes it away."""
    full_name = cookie_name(name, secure=secure)
    cookie: SimpleCookie = SimpleCookie({full_name: value})
    morsel = cookie[full_name]
    morsel["path"], morsel["max-age"] = "/", seconds
    morsel["httponly"], morsel["samesite"] = True, same_site
    if secure:
        morsel["secure"] = True
    return morsel.OutputString()
