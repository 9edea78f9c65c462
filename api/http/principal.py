"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass


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
