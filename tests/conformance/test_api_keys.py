"""API keys: made once, known by their digest, of one ledger, until they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy import Connection, select

from execution_ledger.domain import InvalidInput, UnknownKey
from execution_ledger.infrastructure import (
    create_key,
    create_sync_engine,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from execution_ledger.infrastructure.tables import api_keys
from support import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    engine = create_sync_engine(database.url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_a_key_is_found_by_its_secret_of_which_only_the_digest_is_stored(connection: Connection) -> None:
    key, secret = create_key(
        connection, "red", "ci", ["write", "read", "read"], now=NOW, created_by="ada", expires_at=NOW + HOUR
    )
    assert secret.startswith(f"elk_{key.key_id}_")
    assert (key.ledger_id, key.name, key.scopes, key.created_by) == ("red", "ci", ("read", "write"), "ada")
    row = connection.execute(select(api_keys)).one()
    assert row.digest == sha256(secret.encode()).digest()
    assert secret[-43:] not in repr(row)
    found = find_key(connection, secret, now=NOW)
    assert found == key
    assert list_keys(connection, "red")[0].used_at == NOW
    find_key(connection, secret, now=NOW + timedelta(minutes=4))
    assert list_keys(connection, "red")[0].used_at == NOW, "not written down with each use"
    find_key(connection, secret, now=NOW + timedelta(minutes=6))
    assert list_keys(connection, "red")[0].used_at == NOW + timedelta(minutes=6)
    assert list_keys(connection, "blue") == []


@pytest.mark.parametrize(
    "spoil", [lambda s: s[:-1] + ("A" if s[-1] != "A" else "B"), lambda s: s[:20], lambda s: "", str.upper]
)
def test_no_other_secret_finds_it(connection: Connection, spoil: object) -> None:
    _, secret = create_key(connection, "red", "ci", ["read"], now=NOW)
    assert callable(spoil)
    assert find_key(connection, spoil(secret), now=NOW) is None


def test_a_key_ends_when_it_expires_or_is_revoked(connection: Connection) -> None:
    key, secret = create_key(connection, "red", "ci", ["read"], now=NOW, expires_at=NOW + HOUR)
    assert find_key(connection, secret, now=NOW + HOUR - timedelta(microseconds=1)) is not None
    assert find_key(connection, secret, now=NOW + HOUR) is None
    assert key.state(NOW + HOUR) == "expired"
    other, second = create_key(connection, "red", "ci", ["read"], now=NOW + HOUR)
    assert revoke_key(connection, "red", other.key_id, now=NOW + HOUR).revoked_at == NOW + HOUR
    assert revoke_key(connection, "red", other.key_id, now=NOW + 2 * HOUR).revoked_at == NOW + HOUR
    assert find_key(connection, second, now=NOW + HOUR) is None


def test_a_rotated_key_gives_way_to_one_like_it(connection: Connection) -> None:
    old, first = create_key(connection, "red", "ci", ["read", "audit"], now=NOW, expires_at=NOW + 10 * HOUR)
    new, second = rotate_key(connection, "red", old.key_id, now=NOW + HOUR, overlap=60)
    assert (new.name, new.scopes, new.expires_at) == (old.name, old.scopes, NOW + 11 * HOUR)
    for secret in (first, second):
        assert find_key(connection, secret, now=NOW + HOUR) is not None
    assert find_key(connection, first, now=NOW + HOUR + timedelta(seconds=60)) is None
    assert find_key(connection, second, now=NOW + HOUR + timedelta(seconds=60)) is not None
    with pytest.raises(InvalidInput, match="the key is expired"):
        rotate_key(connection, "red", old.key_id, now=NOW + 2 * HOUR)


def test_what_cannot_be_a_key_is_refused(connection: Connection) -> None:
    key, _ = create_key(connection, "red", "ci", ["read"], now=NOW)
    with pytest.raises(InvalidInput, match="'ci' has a key already"):
        create_key(connection, "red", "ci", ["read"], now=NOW)
    create_key(connection, "blue", "ci", ["read"], now=NOW)
    with pytest.raises(InvalidInput, match="'root' is no scope"):
        create_key(connection, "red", "x", ["root"], now=NOW)
    with pytest.raises(InvalidInput, match="scopes: is empty"):
        create_key(connection, "red", "x", [], now=NOW)
    with pytest.raises(InvalidInput, match="is in the past"):
        create_key(connection, "red", "x", ["read"], now=NOW, expires_at=NOW)
    with pytest.raises(UnknownKey, match="no API key"):
        revoke_key(connection, "blue", key.key_id, now=NOW)
