"""Signatures of Standard Webhooks: HMAC-SHA256 over the message's id, the time of the try and the body."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from secrets import token_bytes

import msgspec

_PREFIX = "whsec_"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to deliver to, and what to sign with."""

    ledger: str
    """On whose behalf."""
    url: str
    secrets: tuple[str, ...]
    """The present one, and the earlier one as long as it counts."""

    def __repr__(self) -> str:
        return f"Target(ledger={self.ledger!r}, url={self.url!r})"  # no secret ever gets into a log


def make_secret() -> str:
    """A new secret, as its owner keeps it: 256 random bits."""
    return _PREFIX + b64encode(token_bytes(32)).decode()


def sign(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: a signature by each secret, so that one can be replaced without a gap."""
    content = f"{message_id}.{timestamp}.".encode() + body
    keys = (b64decode(secret.removeprefix(_PREFIX)) for secret in secrets)
    return " ".join(f"v1,{b64encode(hmac.digest(key, content, 'sha256')).decode()}" for key in keys)
