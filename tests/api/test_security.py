"""Who may do what: keys, tokens, scopes, ledgers, actors, and how fast."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from execution_ledger.api.http.app import create_app
from execution_ledger.api.http.authentication import OPEN, Needs
from execution_ledger.api.http.loopback import check_loopback
from execution_ledger.api.http.rate_limit import Buckets
from execution_ledger.domain import InvalidInput
from execution_ledger.infrastructure import SCOPES, Settings, create_key, create_sync_engine, revoke_key
from execution_ledger.infrastructure.short_transactions import short_transaction
from support import Database
from support.http_service import make_client, running
from support.issuer import Issuer

MakeKey = Callable[..., tuple[str, str]]


@pytest.fixture
def make_key(database: Database) -> Iterator[MakeKey]:
    """Makes a key of a ledger: its id and its secret."""
    engine = create_sync_engine(database.url)

    def make(ledger: str = "red", name: str = "ci", *scopes: str) -> tuple[str, str]:
        with short_transaction(engine) as connection:
            key, secret = create_key(connection, ledger, name, scopes or SCOPES, now=datetime.now(UTC))
        return key.key_id, secret

    yield make
    engine.dispose()


@pytest.fixture
def secured(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": True, "key_cache": 0.0, "metrics_token": None})


@contextmanager
def client_of(settings: Settings, secret: str | None = None, **headers: str) -> Iterator[httpx.Client]:
    sent = headers if secret is None else {"Authorization": f"Bearer {secret}", **headers}
    with running(settings) as address, make_client(address, headers=sent) as client:
        yield client


def test_without_a_good_key_nothing_is_answered(secured: Settings, make_key: MakeKey, database: Database) -> None:
    key_id, secret = make_key()
    with client_of(secured) as client:
        for headers in ({}, {"Authorization": f"Bearer {secret[:-1]}x"}, {"Authorization": "Basic YTpi"}):
            for method, path in (("GET", "executions"), ("POST", "executions"), ("GET", "nowhere")):
                refused = client.request(method, path, headers=headers, content=b"{")
                assert refused.status_code == 401, path
                assert refused.headers["www-authenticate"] == "Bearer"
                assert refused.json()["type"].endswith(":unauthenticated")
        assert client.get("executions", headers={"X-API-Key": secret}).status_code == 200
        client.headers["Authorization"] = f"bearer {secret}"
        assert client.get("executions").status_code == 200
        engine = create_sync_engine(database.url)
        with short_transaction(engine) as connection:
            revoke_key(connection, "red", key_id, now=datetime.now(UTC))
        engine.dispose()
        assert client.get("executions").status_code == 401


def test_a_key_works_in_its_ledger_alone_and_names_the_actor(secured: Settings, make_key: MakeKey) -> None:
    _, secret = make_key("red", "nightly")
    with client_of(secured, secret) as client:
        assert client.post("executions", json={"job_id": "a"}).json()["ledger"] == "red"
        assert client.get("executions/a", headers={"X-Ledger": "red"}).status_code == 200
        for ledger in ("blue", "default"):
            refused = client.get("executions/a", headers={"X-Ledger": ledger})
            assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, "foreign-ledger")
        (event,) = client.get("events").json()["events"]
        assert event["actor"] == "nightly"
        refused = client.post("executions/a/start", headers={"X-Actor": "boss"})
        assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, "actor-known")
        assert client.post("executions/a/start", headers={"X-Actor": "nightly"}).status_code == 200


def all_routes(routes: Any) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from [route] if inner is None else all_routes(inner.routes)


SIGN_IN = {"begin_sign_in", "finish_sign_in"}
"""For whoever is not known yet."""
WITHOUT_SCOPE = {"get_page", "get_page_file", "get_session", "begin_session", "end_session", *SIGN_IN}
"""The page's files tell nothing; a session tells of its own caller."""


def test_every_route_needs_a_scope_or_tells_nothing() -> None:
    app = create_app(Settings(database_url="sqlite:///never-opened.db"))
    seen = set()
    for route in all_routes(app.routes):
        dependencies: Any = getattr(route, "dependencies", [])
        scopes = [each.dependency.scope for each in dependencies if isinstance(each.dependency, Needs)]
        path = getattr(route, "path", "")
        scopes = [scope for scope in scopes if scope is not None]
        free = path in OPEN or getattr(route, "operation_id", None) in WITHOUT_SCOPE
        assert len(scopes) == (0 if free else 1), path
        seen.update(scopes)
    assert seen == set(SCOPES) - {"admin"} or seen == set(SCOPES)


def test_a_scope_that_is_missing_is_named(secured: Settings, make_key: MakeKey) -> None:
    _, reader = make_key("red", "reader", "read")
    _, writer = make_key("red", "writer", "write")
    with client_of(secured, writer) as client:
        assert client.post("executions", json={"job_id": "a"}).status_code == 201
        refused = client.get("executions/a")
        assert (refused.status_code, refused.json()["scope"]) == (403, "read")
        client.headers["Authorization"] = f"Bearer {reader}"
        assert client.get("executions/a").json()["version"] == 1
        for path in ("executions/a/start", "executions"):
            refused = client.post(path, json={})
            assert (refused.status_code, refused.json()["scope"]) == (403, "write")
        assert client.get("ledger/root").json()["scope"] == "audit"
        assert client.get("executions/a").json()["version"] == 1, "nothing was written"


def test_tokens_of_the_issuer_are_taken_and_no_others(secured: Settings, issuer: Issuer) -> None:
    settings = secured.model_copy(update={"oidc_issuer": issuer.url, "oidc_audience": "ledger"})
    with client_of(settings, issuer.token()) as client:
        created = client.post("executions", json={"job_id": "a"})
        assert (created.status_code, created.json()["ledger"]) == (201, "red")
        assert client.get("events").json()["events"][0]["actor"] == "ada"
        assert client.get("ledger/root").status_code == 403, "audit is not among its scopes"
        past = datetime.now(UTC) - timedelta(minutes=5)
        other = ec.generate_private_key(ec.SECP256R1())
        wrong = {
            "expired": issuer.token(exp=past),
            "without an end": issuer.token(exp=None),
            "of another audience": issuer.token(aud="shop"),
            "without an audience": issuer.token(aud=None),
            "of another issuer": issuer.token(iss="https://elsewhere"),
            "without a ledger": issuer.token(ledger=None),
            "of a reserved ledger": issuer.token(ledger="\x1fbuilt\x1fred"),
            "without a subject": issuer.token(sub=None),
            "signed by another key": issuer.token(other),
            "signed by a shared secret": issuer.token("x" * 32, "HS256"),
            "not signed": jwt.encode({"sub": "ada"}, None, "none"),
            "no token": "abc",
        }
        for what, token in wrong.items():
            assert client.get("executions", headers={"Authorization": f"Bearer {token}"}).status_code == 401, what
        listed = issuer.token(scope=["audit", 7])
        assert client.get("ledger/root", headers={"Authorization": f"Bearer {listed}"}).status_code == 200
        nothing = issuer.token(scope=None)
        assert client.get("executions", headers={"Authorization": f"Bearer {nothing}"}).status_code == 403


def test_an_issuer_that_does_not_answer_is_told_as_503(secured: Settings, issuer: Issuer) -> None:
    token = issuer.token()
    issuer.close()
    settings = secured.model_copy(update={"oidc_issuer": issuer.url, "oidc_audience": "ledger"})
    with client_of(settings, token) as client:
        refused = client.get("executions")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["type"].endswith(":issuer-unavailable")


def test_an_issuer_that_hangs_up_is_told_as_503(secured: Settings, issuer: Issuer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, at once
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        keys = f"http://127.0.0.1:{server.getsockname()[1]}/keys"
        oidc = {"oidc_issuer": issuer.url, "oidc_audience": "ledger", "oidc_jwks_url": keys}
        with client_of(secured.model_copy(update=oidc), issuer.token()) as client:
            assert client.get("executions").status_code == 503
        thread.join()


def test_an_issuer_needs_an_audience(secured: Settings) -> None:
    settings = secured.model_copy(update={"oidc_issuer": "https://issuer"})
    with pytest.raises(InvalidInput, match="OIDC_AUDIENCE"):
        create_app(settings)


def test_only_with_keys_other_machines_may_reach_it() -> None:
    with pytest.raises(InvalidInput, match="EXECUTION_LEDGER_AUTH"):
        check_loopback("0.0.0.0")


def test_a_bucket_holds_ten_seconds_worth_and_fills_again() -> None:
    buckets = Buckets(2.0)
    assert [buckets.take("a", 0.0) for _ in range(20)] == [0.0] * 20
    assert buckets.take("a", 0.0) == pytest.approx(0.5)
    assert buckets.take("b", 0.0) == 0.0, "each has its own"
    assert buckets.take("a", 0.25) == pytest.approx(0.25)
    assert buckets.take("a", 0.5) == 0.0
    assert buckets.take("a", 0.5) == pytest.approx(0.5)
    assert [buckets.take("a", 1e6) for _ in range(21)].count(0.0) == 20, "never more than is in a bucket"


def test_who_asks_too_fast_is_told_when_to_ask_again(secured: Settings, make_key: MakeKey) -> None:
    _, eager = make_key("red", "eager")
    _, other = make_key("red", "other")
    with client_of(secured.model_copy(update={"rate_limit": 0.2}), eager) as client:
        codes = [client.get("executions").status_code for _ in range(4)]
        assert codes == [200, 200, 429, 429]
        told = client.get("executions")
        assert 1 <= int(told.headers["retry-after"]) <= 5
        assert client.get("executions", headers={"Authorization": f"Bearer {other}"}).status_code == 200


def test_answers_carry_secure_headers_and_the_id_of_their_request(secured: Settings, make_key: MakeKey) -> None:
    _, secret = make_key()
    with client_of(secured, secret) as client:
        answer = client.post("executions", json={"job_id": "a"}, headers={"X-Request-Id": "req-1"})
        assert answer.headers["x-request-id"] == "req-1"
        for name in ("x-content-type-options", "content-security-policy", "referrer-policy", "cache-control"):
            assert answer.headers[name]
        assert client.get("events").json()["events"][0]["correlation_id"] == "req-1"
        made = client.get("executions", headers={"X-Request-Id": "two words"}).headers["x-request-id"]
        assert len(made) == 32
        large = client.get("executions", headers={"X-Large": "x" * 40_000})
        assert (large.status_code, large.json()["type"].rpartition(":")[2]) == (431, "headers-too-large")
        assert "access-control-allow-origin" not in client.get("executions", headers={"Origin": "https://a"}).headers


def test_pages_of_named_origins_may_call(secured: Settings, make_key: MakeKey) -> None:
    _, secret = make_key()
    settings = secured.model_copy(update={"cors_origins": ["https://app.example"]})
    with (
        running(settings) as address,
        httpx.Client(
            base_url=f"{address}/api/v1/", trust_env=False, headers={"Authorization": f"Bearer {secret}"}
        ) as client,
    ):
        asked = client.request(
            "OPTIONS", "executions", headers={"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        )
        assert asked.headers["access-control-allow-origin"] == "https://app.example"
        answer = client.get("executions", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_metrics_of_all_ledgers_need_a_token_of_their_own(secured: Settings, make_key: MakeKey) -> None:
    _, secret = make_key()
    with running(secured) as address, httpx.Client(base_url=address, trust_env=False) as client:
        sent = {"Authorization": f"Bearer {secret}"}
        assert client.get("/metrics", headers=sent).status_code == 404
    settings = Settings(**{**secured.model_dump(), "metrics_token": "m" * 20})
    with running(settings) as address, httpx.Client(base_url=address, trust_env=False) as client:
        assert client.get("/metrics", headers=sent).status_code == 401
        assert client.get("/api/v1/executions", headers=sent).status_code == 200
        page = client.get("/metrics", headers={"Authorization": "Bearer " + "m" * 20}).text
        assert 'execution_ledger_http_requests_total{method="GET",route="list_executions",status="200"} 1.0' in page
        assert "execution_ledger_audited_mismatches_total 0.0" in page
        assert "execution_ledger_writer_waiting 0.0" in page


def test_what_is_ready_says_so(settings: Settings) -> None:
    with running(settings) as address, httpx.Client(base_url=address, trust_env=False) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.get("/healthz").json() == {"status": "ok"}
        engine = create_sync_engine(settings.database_url)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE execution_ledger_version RENAME TO elsewhere")
        engine.dispose()
        told = client.get("/readyz")
        assert (told.status_code, told.json()["type"].rpartition(":")[2]) == (503, "not-ready")
        assert client.get("/healthz").status_code == 200
