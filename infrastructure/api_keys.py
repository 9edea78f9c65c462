"""Keys of the HTTP service: each is of one ledger, has a name, scopes, and perhaps an end."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, insert, select, update

from ..domain import InvalidInput, UnknownKey, check_ledger
from ..domain.limits import KEY_LENGTH
from ..domain.values import check_seconds, check_text, check_time, shown
from .tables import api_keys

SCOPES = {
    "read": "executions, timelines, statistics, feeds",
    "write": "record executions and change them",
    "audit": "who did what, exports, the root",
    "admin": "projections and webhooks, their lag and their errors",
}
"""What a key may be for."""

_PREFIX = "elk"  # so that scanners for leaked secrets know one when they see it
_KEY = re.compile(rf"{_PREFIX}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")
_USED = timedelta(minutes=5)
"""How often the last use of a key is written down, at most."""


KeyState = Literal["active", "expired", "revoked"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key. Its secret is not."""

    ledger_id: str
    key_id: str
    name: str
    """Recorded as the actor of what is done with it."""
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None
    """About when it was last used, to five minutes."""

    def state(self, now: datetime) -> KeyState:
        """active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class NewKey(NamedTuple):
    """A key that was just made."""

    key: ApiKey
    secret: str
    """What its owner sends. It is told this once, and stored nowhere."""


def create_key(
    connection: Connection,
    ledger: str,
    name: str,
    scopes: Iterable[str],
    *,
    now: datetime,
    expires_at: datetime | str | None = None,
    created_by: str | None = None,
) -> NewKey:
    """Make a key of a ledger. Refused where an active one has its name: the audit would not tell them apart."""
    ledger, name = check_ledger(ledger), check_text(name, "name", KEY_LENGTH, min_length=1)
    end = None if expires_at is None else check_time(expires_at, "expires_at")
    if end is not None and end <= now:
        raise InvalidInput(field="expires_at", problem="is in the past", remedy="Send a later time.")
    if any(each.name == name and each.state(now) == "active" for each in list_keys(connection, ledger)):
        raise InvalidInput(
            field="name", problem=f"{name!r} has a key already", remedy="Rotate or revoke that, or choose another name."
        )
    return _make(connection, ledger, name, check_scopes(scopes), now, end, created_by)


def list_keys(connection: Connection, ledger: str) -> list[ApiKey]:
    """All keys of a ledger that ever were, the newest last."""
    column = api_keys.c
    found = select(api_keys).where(column.ledger_id == check_ledger(ledger)).order_by(column.created_at, column.key_id)
    return [_to_key(row) for row in connection.execute(found)]


def rotate_key(
    connection: Connection,
    ledger: str,
    key_id: str,
    *,
    now: datetime,
    overlap: float = 0.0,
    created_by: str | None = None,
) -> NewKey:
    """Make another key like this one, which still works for `overlap` seconds."""
    old = _find(connection, ledger, key_id)
    if old.state(now) != "active":
        raise InvalidInput(field="key_id", problem=f"the key is {old.state(now)}", remedy="Create a new one.")
    end = now + timedelta(seconds=check_seconds(overlap, "overlap"))
    _change(connection, old, expires_at=end if old.expires_at is None else min(end, old.expires_at))
    lifetime = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    return _make(connection, old.ledger_id, old.name, old.scopes, now, lifetime, created_by)


def revoke_key(connection: Connection, ledger: str, key_id: str, *, now: datetime) -> ApiKey:
    """Have a key work no longer. Again it changes nothing."""
    found = _find(connection, ledger, key_id)
    if found.revoked_at is None:
        _change(connection, found, revoked_at=now)
    return _find(connection, ledger, key_id)


def find_key(connection: Connection, secret: str, *, now: datetime) -> ApiKey | None:
    """The active key with this secret; None where there is none. Its use is written down."""
    parts = _KEY.fullmatch(secret)
    if parts is None:
        return None
    digest = _digest(secret)
    for row in connection.execute(select(api_keys).where(api_keys.c.key_id == parts[1])):
        key = _to_key(row)
        if hmac.compare_digest(row.digest, digest) and key.state(now) == "active":
            if key.used_at is None or now - key.used_at >= _USED:
                _change(connection, key, used_at=now)
            return key
    return None


def find_active(connection: Connection, ledger: str, key_id: str, *, now: datetime) -> ApiKey | None:
    """The active key with this id; None where there is none."""
    column = api_keys.c
    found = select(api_keys).where(column.ledger_id == ledger, column.key_id == key_id)
    row = connection.execute(found).one_or_none()
    key = None if row is None else _to_key(row)
    return key if key is not None and key.state(now) == "active" else None


def is_key(secret: str) -> bool:
    """Whether something looks like a key, so that it is no token."""
    return secret.startswith(f"{_PREFIX}_")


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Known scopes, each once, in the order of the table."""
    given = [scopes] if isinstance(scopes, str) else list(scopes)
    for each in given:
        if each not in SCOPES:
            raise InvalidInput(
                field="scopes", problem=f"{shown(each)} is no scope", remedy=f"Use: {', '.join(SCOPES)}."
            )
    if not given:
        raise InvalidInput(field="scopes", problem="is empty", remedy=f"Name some of: {', '.join(SCOPES)}.")
    return tuple(each for each in SCOPES if each in given)


def _make(
    connection: Connection,
    ledger: str,
    name: str,
    scopes: Sequence[str],
    now: datetime,
    expires_at: datetime | None,
    created_by: str | None,
) -> NewKey:
    key_id = token_hex(8)
    secret = f"{_PREFIX}_{key_id}_{token_urlsafe(32)}"
    connection.execute(
        insert(api_keys).values(
            ledger_id=ledger, key_id=key_id, digest=_digest(secret), name=name, scopes=" ".join(scopes),
            created_at=now, created_by=created_by, expires_at=expires_at,
        )
    )  # fmt: skip
    return NewKey(_find(connection, ledger, key_id), secret)


def _digest(secret: str) -> bytes:
    # 256 random bits need no slow hash, as a password does: nobody can try them all.
    return sha256(secret.encode()).digest()


def _find(connection: Connection, ledger: str, key_id: str) -> ApiKey:
    column = api_keys.c
    found = select(api_keys).where(column.ledger_id == check_ledger(ledger), column.key_id == key_id)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise UnknownKey(key_id=key_id, ledger=ledger)
    return _to_key(row)


def _change(connection: Connection, key: ApiKey, **values: Any) -> None:
    column = api_keys.c
    mine = (column.ledger_id == key.ledger_id) & (column.key_id == key.key_id)
    connection.execute(update(api_keys).where(mine).values(**values))


def _to_key(row: Any) -> ApiKey:
    fields = {name: getattr(row, name) for name in ApiKey.__struct_fields__}
    return ApiKey(**{**fields, "scopes": tuple(row.scopes.split())})
