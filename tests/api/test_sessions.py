"""Sessions of the page: a cookie that stands for a key or a token, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from execution_ledger.api.http.principal import Principal
from execution_ledger.api.http.sessions import COOKIE, PAGE_HEADER, Session, Sessions, is_secure, set_cookie
from execution_ledger.infrastructure import Settings, create_key, create_sync_engine, revoke_key
from execution_ledger.infrastructure.short_transactions import short_transaction
from support import Database
from support.http_service import make_client, running

NOW = datetime(2026, 1, 31, tzinfo=UTC)
PAGE = dict([PAGE_HEADER])
MakeKey = Callable[..., tuple[str, str]]


@pytest.fixture
def make_key(database: Database) -> Iterator[MakeKey]:
    engine = create_sync_engine(database.url)

    def make(*scopes: str) -> tuple[str, str]:
        with short_transaction(engine) as connection:
            key, secret = create_key(connection, "red", "grace", scopes, now=datetime.now(UTC))
        return key.key_id, secret

    yield make
    engine.dispose()


@contextmanager
def logged_in(settings: Settings, secret: str) -> Iterator[httpx.Client]:
    """A client with the cookie alone, as a browser has it."""
    secured = settings.model_copy(update={"auth": True, "key_cache": 0.0})
    with running(secured) as address, make_client(address) as client:
        client.headers.update({"Origin": address, **PAGE})
        answer = client.post("session", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 200, answer.text
        cookie = answer.headers["set-cookie"]
        assert secret not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie, "over http a browser would not keep it"
        yield client


def test_a_session_is_its_key_until_that_is_revoked(settings: Settings, make_key: MakeKey, database: Database) -> None:
    key_id, secret = make_key("read", "write")
    with logged_in(settings, secret) as client:
        who = client.get("session").json()
        assert who | {"expires_at": None} == {
            "auth": True, "actor": "grace", "ledger": "red", "scopes": ["read", "write"], "expires_at": None,
        }  # fmt: skip
        left = datetime.fromisoformat(who["expires_at"]) - datetime.now(UTC)
        assert timedelta(hours=11) < left < timedelta(hours=12)
        assert client.post("executions", json={"job_id": "a"}).json()["ledger"] == "red"
        (event,) = client.get("events").json()["events"]
        assert event["actor"] == "grace"
        assert client.get("ledger/root").json()["scope"] == "audit"
        engine = create_sync_engine(database.url)
        with short_transaction(engine) as connection:
            revoke_key(connection, "red", key_id, now=datetime.now(UTC))
        engine.dispose()
        assert client.get("session").status_code == 401


def test_whoever_logs_out_is_out(settings: Settings, make_key: MakeKey) -> None:
    with logged_in(settings, make_key("read")[1]) as client:
        assert client.delete("session").status_code == 204
        assert client.get("session").status_code == 401


def test_another_sites_page_cannot_use_a_session(settings: Settings, make_key: MakeKey) -> None:
    with logged_in(settings, make_key("read", "write")[1]) as client:
        origin = client.headers["origin"]
        for headers in (
            {"Origin": "https://evil.example", **PAGE},
            {"Origin": "null", **PAGE},
            {"Origin": origin, PAGE_HEADER[0]: "XMLHttpRequest"},
            {"Origin": origin, **PAGE, "Sec-Fetch-Site": "same-site"},
        ):
            refused = client.post("executions", json={"job_id": "a"}, headers=headers)
            assert refused.status_code == 403, headers
            assert refused.json()["type"].endswith(":foreign-origin")
        for name in ("Origin", PAGE_HEADER[0]):
            value = client.headers.pop(name)
            assert client.post("executions", json={"job_id": "a"}).status_code == 403, name
            client.headers[name] = value
        assert client.get("executions", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert client.get("executions").json()["total"] == 0


def test_a_cookie_that_was_not_made_here_or_is_over_is_nobody(settings: Settings, make_key: MakeKey) -> None:
    key_id, secret = make_key("read")
    with logged_in(settings, secret) as client:
        (mine,) = client.cookies.jar
        forged = Sessions(settings).sign(
            Session(expires_at=datetime.now(UTC) + timedelta(hours=1), ledger="red", key_id=key_id)
        )
        for value in (forged, f"{mine.value}0", str(mine.value).partition(".")[0], ".", "", "é.é", "a.b"):
            client.cookies.clear()
            cookie = f"{COOKIE}={value}".encode()
            assert client.get("session", headers={b"Cookie": cookie}).status_code == 401, value


def test_a_session_ends_after_its_hours_or_with_what_it_stands_for() -> None:
    sessions = Sessions(Settings(session_hours=2))
    for ends, hours in ((None, 2), (NOW + timedelta(hours=1), 1), (NOW + timedelta(hours=3), 2)):
        token = Principal("token ada", "ada", "red", frozenset({"read"}), expires_at=ends)
        session = sessions.begin(token, NOW)
        assert session == Session(expires_at=NOW + timedelta(hours=hours), ledger="red", actor="ada", scopes=("read",))
        cookie = sessions.sign(session)
        assert sessions.read(cookie, NOW + timedelta(hours=hours, seconds=-1)) == session
        assert sessions.read(cookie, NOW + timedelta(hours=hours)) is None


def test_a_session_is_known_where_the_secret_is_the_same() -> None:
    key = Principal("key 1", "ci", "red", frozenset({"read"}), "1")
    one, same, other = (Sessions(Settings(session_secret=text * 32)) for text in "aab")
    cookie = one.sign(one.begin(key, NOW))
    assert same.read(cookie, NOW) is not None
    assert other.read(cookie, NOW) is None


def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_alone() -> None:
    for origin, secure in (("https://ledger.example", True), ("http://ledger.example", False)):
        assert ("Secure" in set_cookie("x", 60, secure=is_secure({"origin": origin}))) is secure


def test_where_nobody_needs_a_key_there_is_no_session(settings: Settings) -> None:
    with running(settings) as address, make_client(address) as client:
        assert client.post("session").status_code == 404
        assert client.get("session").json() == {
            "auth": False, "actor": None, "ledger": "default", "scopes": ["read", "write", "audit", "admin"],
            "expires_at": None,
        }  # fmt: skip
