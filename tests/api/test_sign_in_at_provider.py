"""Signing in at a provider that others wrote, as people do: its forms, its checks, its tokens of RS256."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import jwt
import pytest
from pydantic import SecretStr

from execution_ledger.api.http.sessions import PAGE_HEADER
from execution_ledger.api.http.sign_in import COOKIE
from execution_ledger.infrastructure import Settings
from support.http_service import make_client, running
from support.provider import CONFIDENTIAL, PUBLIC, SECRET, Provider
from support.signing_in import begin, problem_of


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


def settings_at(settings: Settings, provider: Provider, secret: str | None = None) -> Settings:
    """Settings of a service where people sign in there, by a public client or one with a secret."""
    oidc = {
        "oidc_issuer": provider.issuer,
        "oidc_audience": "ledger",
        "oidc_client_id": PUBLIC if secret is None else CONFIDENTIAL,
        "oidc_client_secret": None if secret is None else SecretStr(secret),
        "oidc_scope_claim": "ledger_scopes",
        "oidc_actor_claim": "preferred_username",
    }
    return settings.model_copy(update={"auth": True, "key_cache": 0.0, **oidc})


@contextmanager
def one_browser(settings: Settings) -> Iterator[httpx.Client]:
    with running(settings) as address, make_client(address) as browser:
        yield browser


@pytest.fixture
def browser(settings: Settings, provider: Provider) -> Iterator[httpx.Client]:
    with one_browser(settings_at(settings, provider)) as browser:
        yield browser


def changed(url: str, **said: str | None) -> str:
    """The same URL, with other parameters; None leaves one out."""
    parts = urlsplit(url)
    query = {name: value for name, value in (dict(parse_qsl(parts.query)) | said).items() if value is not None}
    return parts._replace(query=urlencode(query)).geturl()


@pytest.mark.parametrize("secret", [None, SECRET])
def test_whoever_logs_in_and_agrees_has_a_session(settings: Settings, provider: Provider, secret: str | None) -> None:
    with one_browser(settings_at(settings, provider, secret)) as browser:
        done = browser.get(provider.visit(begin(browser, "/audit?actor=olga"), "olga"))
        assert done.headers["location"] == "/audit?actor=olga"
        who = browser.get("session").json()
        assert (who["actor"], who["ledger"], who["scopes"]) == ("olga", "default", ["read", "write"])
        browser.headers.update({"Origin": str(browser.base_url).partition("/api")[0], **dict([PAGE_HEADER])})
        assert browser.post("executions", json={"job_id": "a"}).status_code == 201
        assert browser.get("audit").status_code == 403, "olga may not"
        assert browser.delete("session").status_code == 204
        assert browser.get("session").status_code == 401
        assert browser.get(provider.visit(begin(browser), "vera")).headers["location"] == "/"
        assert browser.get("session").json()["scopes"] == ["read", "audit"]


def test_an_issuer_may_end_in_a_slash_but_then_it_does_everywhere(settings: Settings, tmp_path: Path) -> None:
    with Provider(tmp_path, slash="/") as provider:
        right = settings_at(settings, provider)
        assert right.oidc_issuer is not None
        assert right.oidc_issuer.endswith("/o/")
        with one_browser(right) as browser:
            assert browser.get(provider.visit(begin(browser), "olga")).headers["location"] == "/"
        with one_browser(right.model_copy(update={"oidc_issuer": right.oidc_issuer.rstrip("/")})) as browser:
            assert problem_of(browser.get("session/oidc")) == "unavailable"


def test_it_is_the_provider_that_asks_for_a_challenge_and_signs_by_its_private_key(
    browser: httpx.Client, provider: Provider
) -> None:
    url = begin(browser)
    assert dict(parse_qsl(urlsplit(url).query))["code_challenge_method"] == "S256"
    for said in ({"code_challenge": None, "code_challenge_method": None}, {"code_challenge_method": "plain"}):
        back = provider.visit(changed(url, **said), "olga")
        assert dict(parse_qsl(urlsplit(back).query))["error"] == "invalid_request", said
        assert problem_of(browser.get(back)) == "rejected"
        url = begin(browser)
    (key,) = jwt.PyJWKClient(f"{provider.issuer}/.well-known/jwks.json").get_signing_keys()
    assert (key.key_type, key.algorithm_name) == ("RSA", "RS256")


def test_a_code_is_of_one_browser_and_counts_once(
    browser: httpx.Client, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    planted = dict(parse_qsl(urlsplit(provider.visit(begin(browser), "vera")).query))["code"]
    own = provider.visit(begin(browser), "olga")
    with caplog.at_level(logging.WARNING):
        assert problem_of(browser.get(changed(own, code=planted))) == "rejected", "it is of another verifier"
    assert "invalid_grant" in caplog.text
    own = provider.visit(begin(browser), "olga")
    assert problem_of(browser.get(changed(own, code="wrong"))) == "rejected"
    own = provider.visit(begin(browser), "olga")
    kept = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    assert browser.get(own).headers["location"] == "/"
    browser.cookies.clear()
    assert problem_of(browser.get(own, headers=kept)) == "rejected"


@pytest.mark.parametrize(
    ("asked", "said", "problem"),
    [
        ({"nonce": "another"}, {}, "rejected"),
        ({"nonce": None}, {}, "rejected"),
        ({"state": "another"}, {}, "expired"),
        ({}, {"state": None}, "expired"),
        ({}, {"code": None}, "rejected"),
        ({}, {"iss": "https://elsewhere.example"}, "rejected"),
        ({}, {"iss": None}, "rejected"),  # which this provider promises
        ({"code_challenge": "a" * 43}, {}, "rejected"),
    ],
)
def test_what_was_changed_on_the_way_signs_nobody_in(
    browser: httpx.Client,
    provider: Provider,
    asked: dict[str, str | None],
    said: dict[str, str | None],
    problem: str,
) -> None:
    back = provider.visit(changed(begin(browser), **asked), "olga")
    assert problem_of(browser.get(changed(back, **said))) == problem
    assert browser.get("session").status_code == 401


def test_whoever_does_not_agree_or_is_in_no_group_is_told(browser: httpx.Client, provider: Provider) -> None:
    back = provider.visit(begin(browser), "olga", agree=False)
    assert "iss" not in dict(parse_qsl(urlsplit(back).query)), "as it promises, and Keycloak did"
    assert problem_of(browser.get(back)) == "refused"
    assert problem_of(browser.get(provider.visit(begin(browser), "nina"))) == "unknown"


def test_a_wrong_secret_is_told_and_a_provider_that_is_away_and_back(settings: Settings, provider: Provider) -> None:
    with one_browser(settings_at(settings, provider, "wrong")) as browser:
        assert problem_of(browser.get(provider.visit(begin(browser), "olga"))) == "rejected"
    with one_browser(settings_at(settings, provider, SECRET)) as browser:
        provider.stop()
        assert problem_of(browser.get("session/oidc")) == "unavailable"
        provider.start()
        back = provider.visit(begin(browser), "olga")
        provider.stop()
        assert problem_of(browser.get(back)) == "unavailable"
        provider.start()
        assert browser.get(provider.visit(begin(browser), "olga")).headers["location"] == "/"
