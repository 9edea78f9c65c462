"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose credentials are good."""

    name: str
    """Of the key or the token's subject, or the caller's address: whom a rate is counted for."""
    actor: str | None
    """Who is recorded; None where the caller may say."""
    ledger: str | None
    """The one ledger that they may see; None for any, without authentication."""
    scopes: frozenset[str]
    key_id: str | None = None
    """Of the key, where it is one."""
    expires_at: datetime | None = None
    """Until when the key or token is good, as far as that is known."""
    session_ends_at: datetime | None = None
    """When they are logged out, where a cookie brought them."""
