"""Leases: who works on an execution, and until when. Taken and renewed without an event."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from .errors import InvalidInput
from .values import shown

DEFAULT_TTL = 30.0
"""Seconds that a lease lasts from when it was taken or renewed."""

LEASE_BOUNDS = (0.1, 86_400.0)
"""Seconds that a lease may last, at least and at most."""


class Held(NamedTuple):
    """A lease as it stands in the database, expired or not."""

    token: int
    """Higher than that of every lease before it on the same execution."""
    holder: str
    expires_at: datetime

    def is_expired(self, now: datetime) -> bool:
        """Whether it is over; `now` is the one clock that all leases of a database go by."""
        return self.expires_at <= now


def check_ttl(value: Any) -> timedelta:
    """How long a lease is to last, in seconds."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    shortest, longest = LEASE_BOUNDS
    if not number or not shortest <= value <= longest:
        raise InvalidInput(
            field="ttl",
            problem=f"{shown(value)} is no such length of time",
            remedy=f"Send seconds, from {shortest:g} to {longest:g}.",
        )
    return timedelta(seconds=value)
