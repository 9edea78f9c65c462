"""Signing in with OIDC over HTTP, as a browser goes: to a strict issuer and back, and every way not to arrive."""

from __future__ import annotations

import logging
import socket
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr, ValidationError

from execution_ledger.api.http.app import create_app
from execution_ledger.api.http.issuer import Issuer as AskedIssuer
from execution_ledger.api.http.problems import Problem
from execution_ledger.api.http.sessions import COOKIE as SESSION
from execution_ledger.api.http.sessions import PAGE_HEADER, Session, Sessions
from execution_ledger.api.http.sign_in import CALLBACK, COOKIE, Begun, SignIn
from execution_ledger.api.http.signed import Signed
from execution_ledger.api.http.tokens import Tokens
from execution_ledger.api.page import is_view
from execution_ledger.domain import InvalidInput
from execution_ledger.infrastructure import Settings
from support.http_service import make_client, running
from support.issuer import CLIENT, Issuer
from support.signing_in import begin, problem_of

RED = {"ledger": "red", "scope": "read write"}


@pytest.fixture
def offering(settings: Settings, issuer: Issuer) -> Settings:
    """Settings with which the page offers to sign in."""
    issuer.person = dict(RED)
    oidc = {"oidc_issuer": issuer.url, "oidc_audience": "ledger", "oidc_client_id": CLIENT}
    return settings.model_copy(update={"auth": True, "key_cache": 0.0, "session_secret": SecretStr("s" * 32), **oidc})


@contextmanager
def browsers(settings: Settings, issuer: Issuer) -> Iterator[Callable[[], httpx.Client]]:
    """Makes browsers of people who come to one service, which the issuer knows."""
    with running(settings) as address, ExitStack() as stack:
        issuer.redirect_uris.add(address + CALLBACK)
        yield lambda: stack.enter_context(make_client(address))


@contextmanager
def one_browser(settings: Settings, issuer: Issuer) -> Iterator[httpx.Client]:
    with browsers(settings, issuer) as make:
        yield make()


def at_issuer(url: str, way: str = "agree") -> str:
    """What a person does there: the URL that the browser is sent back to."""
    with httpx.Client(trust_env=False) as outside:
        answer = outside.get(url.replace("/authorize?", f"/{way}?"))
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def sign_in(browser: httpx.Client, following: str = "/") -> httpx.Response:
    return browser.get(at_issuer(begin(browser, following)))


def page_of(browser: httpx.Client) -> str:
    return httpx.get(browser.base_url.join("/"), trust_env=False).text


def cookies_of(answer: httpx.Response) -> dict[str, Any]:
    cookies: SimpleCookie = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        cookies.load(header)
    return dict(cookies)


def test_whoever_signs_in_has_a_session_of_the_services_own_length(offering: Settings, issuer: Issuer) -> None:
    with one_browser(offering, issuer) as browser:
        answer = sign_in(browser, "/run/a%2Fb?at=3&with=x%20y")
        assert (answer.status_code, answer.headers["location"]) == (303, "/run/a%2Fb?at=3&with=x%20y")
        who = browser.get("session").json()
        left = datetime.fromisoformat(who.pop("expires_at")) - datetime.now(UTC)
        assert timedelta(hours=11) < left < timedelta(hours=12), "a token's end, in five minutes, is not its"
        assert who == {"auth": True, "actor": "ada", "ledger": "red", "scopes": ["read", "write"]}
        browser.headers.update({"Origin": str(browser.base_url).partition("/api")[0], **dict([PAGE_HEADER])})
        assert browser.post("executions", json={"job_id": "a"}).json()["ledger"] == "red"
        assert browser.get("events").json()["events"][0]["actor"] == "ada"
        again = browser.post("session").json()["expires_at"]
        assert datetime.fromisoformat(again) - datetime.now(UTC) <= left, "a session does not make itself longer"
        assert browser.delete("session").status_code == 204
        assert browser.get("session").status_code == 401


def test_the_issuer_is_asked_as_the_standards_say(offering: Settings, issuer: Issuer) -> None:
    issuer.document["authorization_endpoint"] += "?tenant=7"
    settings = offering.model_copy(update={"oidc_login_scope": "openid profile"})
    with one_browser(settings, issuer) as browser:
        url, other = (urlsplit(begin(browser)) for _ in range(2))
        asked, anew = (dict(parse_qsl(each.query)) for each in (url, other))
        fresh = ("state", "nonce", "code_challenge")
        assert all(len(asked[name]) >= 43 and asked[name] != anew[name] for name in fresh)
        assert {name: value for name, value in asked.items() if name not in fresh} == {
            "tenant": "7", "response_type": "code", "client_id": CLIENT, "scope": "openid profile",
            "audience": "ledger", "redirect_uri": f"{str(browser.base_url).removesuffix('/api/v1/')}{CALLBACK}",
            "code_challenge_method": "S256",
        }  # fmt: skip


def test_cookies_hold_no_token_and_no_script_can_read_them(offering: Settings, issuer: Issuer) -> None:
    issuer.answer = {"access_token": issuer.token(**RED), "refresh_token": "refresh-me"}
    with one_browser(offering, issuer) as browser:
        begun = browser.get("session/oidc")
        (meanwhile,) = cookies_of(begun).values()
        assert (meanwhile["path"], meanwhile["max-age"]) == ("/", "600")
        assert (meanwhile["httponly"], meanwhile["samesite"], meanwhile["secure"]) == (True, "Lax", "")
        done = browser.get(at_issuer(begun.headers["location"]))
        cookies = cookies_of(done)
        assert (cookies[COOKIE].value, cookies[COOKIE]["max-age"], cookies[COOKIE]["path"]) == ("", "0", "/")
        session = cookies[SESSION]
        assert (session["path"], session["httponly"], session["samesite"]) == ("/", True, "Strict")
        assert list(browser.cookies) == [SESSION]
        for value in (meanwhile.value, session.value):
            body = value.partition(".")[0]
            told = urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
            assert "expires_at" in told
            for secret in (issuer.answer["access_token"], "refresh-me", issuer.asked[-1]["code"]):
                assert secret not in value + told
            assert "eyJ" not in told, "as every JWT begins"


def test_a_session_stands_for_its_own_tenant(offering: Settings, issuer: Issuer) -> None:
    with browsers(offering, issuer) as make:
        for name, ledger in (("ada", "red"), ("bob", "blue")):
            browser = make()
            issuer.person = {"sub": name, "ledger": ledger, "scope": "read write"}
            assert sign_in(browser).headers["location"] == "/"
            browser.headers.update({"Origin": str(browser.base_url).partition("/api")[0], **dict([PAGE_HEADER])})
            assert browser.post("executions", json={"job_id": "a"}).status_code == 201
            (event,) = browser.get("events").json()["events"]
            assert (event["ledger"], event["actor"]) == (ledger, name)
            other = {"red": "blue", "blue": "red"}[ledger]
            assert browser.get("executions", headers={"X-Ledger": other}).status_code == 403


@pytest.mark.parametrize(
    "following",
    [
        "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)", "",
        "/run/../..//evil.example", "/run/%2e%2E", "/run/a/b", "/run/", "/audit\r\nSet-Cookie: a=b", "/\tevil",
        "/audit#x", "/api/v1/session/oidc", "/page/x.js", "/healthz", "/run/é", "/run/" + "a" * 2000, "run/a",
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(following: str) -> None:
    assert not is_view(following)


def test_a_place_that_is_no_view_of_the_page_is_refused_before_anything_else(
    offering: Settings, issuer: Issuer
) -> None:
    for following in (
        "/",
        "/run/7",
        "/run/=..",
        "/run/a%2Fb?at=3",
        "/audit?actor=//x&q=/\x7e",
        "/statistics",
        "/login",
        "/?status=a",
    ):
        assert is_view(following), following
    with one_browser(offering, issuer) as browser:
        refused = browser.get("session/oidc", params={"next": "//evil.example"})
        assert (refused.status_code, refused.json()["field"]) == (422, "next")
        assert "set-cookie" not in refused.headers


def test_an_answer_that_another_browser_asked_for_signs_nobody_in(offering: Settings, issuer: Issuer) -> None:
    with browsers(offering, issuer) as make:
        mallory, victim, bystander = make(), make(), make()
        issuer.person = RED | {"sub": "mallory"}
        planted = at_issuer(begin(mallory))
        own = begin(victim)
        assert problem_of(bystander.get(planted)) == "expired"
        assert problem_of(victim.get(planted)) == "expired"
        assert victim.get("session").status_code == 401
        issuer.person = RED | {"sub": "vera"}
        assert victim.get(at_issuer(own)).headers["location"] == "/", "what they have begun goes on"
        assert victim.get("session").json()["actor"] == "vera"
        # With the victim's own state, as if that was known: the code is of another verifier.
        state = dict(parse_qsl(urlsplit(begin(victim)).query))["state"]
        issuer.person = RED | {"sub": "mallory"}
        code = dict(parse_qsl(urlsplit(at_issuer(begin(mallory))).query))["code"]
        assert problem_of(victim.get("session/oidc/callback", params={"state": state, "code": code})) == "rejected"
        assert victim.get("session").json()["actor"] == "vera"


def test_an_answer_counts_once(offering: Settings, issuer: Issuer) -> None:
    with one_browser(offering, issuer) as browser:
        back = at_issuer(begin(browser))
        kept = browser.cookies[COOKIE]
        assert browser.get(back).headers["location"] == "/"
        browser.cookies.clear()
        assert problem_of(browser.get(back)) == "expired"
        assert problem_of(browser.get(back, headers={"Cookie": f"{COOKIE}={kept}"})) == "rejected"
        assert len(issuer.asked) == 2


def test_a_cookie_that_is_over_or_was_not_made_for_this_counts_nothing(offering: Settings, issuer: Issuer) -> None:
    now = datetime.now(UTC)

    def begun(seconds: int) -> Begun:
        return Begun(expires_at=now + timedelta(seconds=seconds), state="s", nonce="n", verifier="v", next="/")

    good = Signed(offering, "sign-in", Begun).sign(begun(60))
    values = {
        "over": Signed(offering, "sign-in", Begun).sign(begun(-1)),
        "of another secret": Signed(Settings(session_secret=SecretStr("x" * 32)), "sign-in", Begun).sign(begun(60)),
        "a session's": Signed(offering, "session", Begun).sign(begun(60)),
        "changed": good[:-1] + ("0" if good[-1] != "0" else "1"),
        "not ASCII": "é.é",
        "empty": "",
    }
    with one_browser(offering, issuer) as browser:
        for what, value in values.items():
            cookie = f"{COOKIE}={value}".encode()
            answer = browser.get("session/oidc/callback?state=s&code=c", headers={b"Cookie": cookie})
            assert problem_of(answer) == "expired", what
        assert issuer.asked == []
        for query in ("", "state=", "state=t&code=c", "code=c", "state=%C3%A9&error=access_denied"):
            answer = browser.get(f"session/oidc/callback?{query}", headers={"Cookie": f"{COOKIE}={good}"})
            assert problem_of(answer) == "expired", query
        assert browser.get("executions", headers={"Cookie": f"{SESSION}={good}"}).status_code == 401
        answer = browser.get("session/oidc/callback?state=s&code=c", headers={"Cookie": f"{COOKIE}={good}"})
        assert problem_of(answer) == "rejected", "this one is asked for, and nobody knows the code"
        assert issuer.asked[0]["code_verifier"] == "v"


def test_why_nobody_was_signed_in_is_told_by_a_code_with_the_place_to_come_back_to(
    offering: Settings, issuer: Issuer
) -> None:
    issuer.document["authorization_response_iss_parameter_supported"] = True
    with one_browser(offering, issuer) as browser:
        refused = browser.get(at_issuer(begin(browser, "/run/7?at=3"), "refuse"))
        assert problem_of(refused) == "refused"
        assert refused.headers["location"] == "/login?problem=refused&next=%2Frun%2F7%3Fat%3D3"
        assert cookies_of(refused)[COOKIE]["max-age"] == "0"
        for query, problem in (
            ("error=access_denied", "refused"),  # many do not name themselves where they promise it
            ("error=access_denied&iss=https%3A%2F%2Felsewhere.example", "rejected"),
            ("error=temporarily_unavailable", "unavailable"),
            ("error=invalid_scope&error_description=%3Cscript%3E%0Aforged", "rejected"),
            ("", "rejected"),
            ("code=c&iss=https%3A%2F%2Felsewhere.example", "rejected"),
            ("code=c", "rejected"),  # which is promised to come with `iss`
        ):
            state = dict(parse_qsl(urlsplit(begin(browser)).query))["state"]
            assert problem_of(browser.get(f"session/oidc/callback?state={state}&{query}")) == problem, query
        assert issuer.asked == []


def test_tokens_decide_who_it_is(offering: Settings, issuer: Issuer) -> None:
    def identity(**claims: Any) -> None:
        issuer.identity = {"ledger": "red", "scope": "read", "sub": "by-identity"} | claims

    opaque, other = {"access_token": "opaque"}, ec.generate_private_key(ec.SECP256R1())
    with one_browser(offering, issuer) as browser:
        # By the access token, where the ID token names nobody.
        assert sign_in(browser).headers["location"] == "/"
        assert browser.get("session").json()["actor"] == "ada"
        # By the ID token, where the access token is not for this service, or says less.
        for access in ("opaque", issuer.token(aud="shop"), issuer.token(scope=None), issuer.token(ledger=None), None):
            identity()
            issuer.answer = {"access_token": access}
            assert sign_in(browser).headers["location"] == "/", access
            who = browser.get("session").json()
            assert (who["actor"], who["scopes"]) == ("by-identity", ["read"])
        # As some issuers write whom it is for.
        issuer.answer = dict(opaque)
        for claims in ({"aud": [CLIENT]}, {"aud": CLIENT, "azp": CLIENT}, {"aud": ["shop", CLIENT], "azp": CLIENT}):
            identity(**claims)
            assert sign_in(browser).headers["location"] == "/", claims
        browser.cookies.clear()
        # Nobody, since a token says too little, or what nobody can read.
        for what, person in {
            "no ledger": {"ledger": None},
            "no scopes": {"scope": "openid"},
            "scopes that are none": {"scope": 7},
            "no name": {"sub": None},
            "an end after the calendar's": {"exp": 253402300800},
        }.items():
            issuer.person, issuer.identity, issuer.answer = RED | person, {}, {}
            assert problem_of(sign_in(browser)) == "unknown", what
        # Nobody, since a token is not good; an ID token that is not counts even where the access token would do.
        issuer.person = dict(RED)
        past = datetime.now(UTC) - timedelta(minutes=5)
        for what, claims in {
            "of another sign-in": {"nonce": "another"},
            "without a nonce": {"nonce": None},
            "with a nonce that is no text": {"nonce": 7},
            "of another client": {"aud": "shop"},
            "for another client among others": {"aud": [CLIENT, "shop"], "azp": "shop"},
            "for one of several, and it is not said which": {"aud": [CLIENT, "shop"]},
            "of another issuer": {"iss": "https://elsewhere.example"},
            "over": {"exp": past},
        }.items():
            identity(**claims)
            for answer in ({}, opaque):
                issuer.answer = answer
                assert problem_of(sign_in(browser)) == "rejected", what
        for answer in (
            {"id_token": None},  # so nothing tells that it is of this sign-in
            opaque | {"id_token": None},
            opaque | {"id_token": issuer.token(other, aud=CLIENT)},
            {"access_token": issuer.token(other), "id_token": None},
            {"access_token": None, "id_token": None},
            {"access_token": 7, "id_token": ["x"]},
        ):
            issuer.answer = answer
            assert problem_of(sign_in(browser)) == "rejected", answer
        assert browser.get("session").status_code == 401


def test_a_client_with_a_secret_proves_it(offering: Settings, issuer: Issuer) -> None:
    issuer.secret = "päss:w/ord+ %"
    settings = offering.model_copy(update={"oidc_client_secret": SecretStr(issuer.secret)})
    with one_browser(settings, issuer) as browser:
        assert sign_in(browser).headers["location"] == "/"
        assert not {"client_id", "client_secret"} & issuer.asked[-1].keys(), "it is sent as Basic, if the issuer can"
    issuer.document["token_endpoint_auth_methods_supported"] = ["private_key_jwt", "client_secret_post"]
    with one_browser(settings, issuer) as browser:
        assert sign_in(browser).headers["location"] == "/"
        assert issuer.asked[-1]["client_secret"] == issuer.secret
    for wrong in (None, SecretStr("wrong")):
        with one_browser(settings.model_copy(update={"oidc_client_secret": wrong}), issuer) as browser:
            assert problem_of(sign_in(browser)) == "rejected"


def test_an_issuer_that_does_not_answer_is_told(offering: Settings, issuer: Issuer) -> None:
    with one_browser(offering, issuer) as browser:
        for status in (500, 503, 429):
            issuer.status = status
            assert problem_of(sign_in(browser)) == "unavailable", status
        issuer.status = None
        back = at_issuer(begin(browser))
        issuer.close()
        assert problem_of(browser.get(back)) == "unavailable"
    with one_browser(offering, issuer) as browser:
        answer = browser.get("session/oidc", params={"next": "/audit"})
        assert problem_of(answer) == "unavailable"
        assert answer.headers["location"].endswith("&next=%2Faudit")


def test_nothing_else_waits_for_an_issuer_that_hangs(offering: Settings) -> None:
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server, ThreadPoolExecutor(40) as people:
        issuer = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = offering.model_copy(update={"oidc_issuer": issuer, "metrics_token": SecretStr("m")})
        with running(settings) as address, make_client(address) as browser:
            waiting = [people.submit(browser.get, "session/oidc") for _ in range(40)]
            for _ in range(4):
                taken.append(server.accept()[0])
            metrics = browser.get(f"{address}/metrics", headers={"Authorization": "Bearer m"}, timeout=3)
            assert metrics.status_code == 200
            assert not any(each.done() for each in waiting)
            server.close()
            for each in taken:
                each.close()
            assert {problem_of(each.result()) for each in waiting} == {"unavailable"}


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "https://elsewhere.example"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "file:///etc/passwd"},
    ],
)
def test_an_issuer_that_says_strange_things_of_itself_is_not_followed(
    offering: Settings, issuer: Issuer, said: dict[str, Any]
) -> None:
    issuer.document |= said
    with one_browser(offering, issuer) as browser:
        if "token_endpoint" in said:
            assert problem_of(sign_in(browser)) == "unavailable"
        else:
            assert problem_of(browser.get("session/oidc")) == "unavailable"


def test_nobody_is_followed_elsewhere_least_of_all_with_the_secret(offering: Settings, issuer: Issuer) -> None:
    issuer.secret = "a secret"
    settings = offering.model_copy(update={"oidc_client_secret": SecretStr(issuer.secret)})
    with one_browser(settings, issuer) as browser:
        issuer.moved = {"/token"}
        assert problem_of(sign_in(browser)) == "unavailable"
        assert (issuer.authorized, issuer.asked) == (["/token"], [])
        issuer.moved = set()
        assert sign_in(browser).headers["location"] == "/"
    issuer.moved = {"/.well-known/openid-configuration"}
    with one_browser(settings, issuer) as browser:
        assert problem_of(browser.get("session/oidc")) == "unavailable"


def test_an_issuer_with_tls_names_nothing_without(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"token_endpoint": "http://issuer.example/token", "jwks_uri": "https://keys.example"}
    for url, is_taken in (("https://issuer.example", False), ("http://issuer.example", True)):
        asked = AskedIssuer(url)
        monkeypatch.setattr(asked, "discover", lambda: named)
        assert asked.endpoint("jwks_uri") == "https://keys.example"
        with nullcontext() if is_taken else pytest.raises(Problem):
            asked.endpoint("token_endpoint")


def test_an_address_that_nobody_has_verified_names_nobody(offering: Settings, issuer: Issuer) -> None:
    by_address = offering.model_copy(update={"oidc_actor_claim": "email"})
    with one_browser(by_address, issuer) as browser:
        for verified, problem in ((False, "unknown"), ("false", "unknown"), (None, ""), (True, ""), ("true", "")):
            issuer.person = RED | {"email": "ada@example.com", "email_verified": verified}
            answer = sign_in(browser)
            if problem:
                assert problem_of(answer) == problem, verified
            else:
                assert browser.get("session").json()["actor"] == "ada@example.com", verified
            browser.cookies.clear()


def test_behind_a_proxy_with_tls_cookies_are_for_tls_and_the_way_back_is_by_the_proxy(
    offering: Settings, issuer: Issuer
) -> None:
    outside = "https://ledger.example.com"
    issuer.redirect_uris.add(outside + CALLBACK)
    named = offering.model_copy(update={"public_url": f"{outside}/"})
    for settings, headers in (
        (named, {}),
        (offering, {"Host": "ledger.example.com", "X-Forwarded-Proto": "https"}),
    ):
        with one_browser(settings, issuer) as browser:
            browser.headers.update(headers)
            begun = browser.get("session/oidc")
            asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
            assert asked["redirect_uri"] == outside + CALLBACK
            back = urlsplit(at_issuer(begun.headers["location"]))
            (cookie,) = cookies_of(begun).values()
            assert (cookie.key, cookie["secure"], cookie["path"]) == (f"__Host-{COOKIE}", True, "/")
            planted = f"{COOKIE}={cookie.value}"
            callback = f"session/oidc/callback?{back.query}"
            assert problem_of(browser.get(callback, headers={"Cookie": planted})) == "expired"
            done = browser.get(callback, headers={"Cookie": f"__Host-{planted}"})
            assert done.headers["location"] == "/"
            assert [each["secure"] for each in cookies_of(done).values()] == [True, True]
            session = cookies_of(done)[f"__Host-{SESSION}"]
            assert browser.get("session", headers={"Cookie": f"{session.key}={session.value}"}).status_code == 200


def test_at_an_address_with_tls_a_session_that_another_host_has_planted_counts_nothing(
    offering: Settings, issuer: Issuer
) -> None:
    settings = offering.model_copy(update={"public_url": "https://Ledger.example.com/"})
    value = Sessions(settings).sign(
        Session(expires_at=datetime.now(UTC) + timedelta(hours=1), ledger="red", actor="mallory", scopes=("read",))
    )
    with one_browser(settings, issuer) as browser:
        for host, name, status in (
            ("ledger.example.com", SESSION, 401),
            ("ledger.example.com", f"__Host-{SESSION}", 200),
            ("127.0.0.1:8470", SESSION, 200),  # by a tunnel
        ):
            headers = {"Host": host, "Cookie": f"{name}={value}"}
            assert browser.get("session", headers=headers).status_code == status, (host, name)


def test_where_it_is_not_offered_there_is_nothing(offering: Settings, settings: Settings, issuer: Issuer) -> None:
    without = offering.model_copy(update={"oidc_client_id": None})
    open_to_all = offering.model_copy(update={"auth": False})
    for each in (without, open_to_all):
        with one_browser(each, issuer) as browser:
            for path in ("session/oidc", "session/oidc/callback?state=s&code=c"):
                assert browser.get(path).status_code == 404
            assert 'name="sign-in"' not in page_of(browser)
    named = offering.model_copy(update={"oidc_login_name": '"Acme" <b>'})
    for each, text in ((offering, "single sign-on"), (named, "&quot;Acme&quot; &lt;b&gt;")):
        with one_browser(each, issuer) as browser:
            assert f'<meta name="sign-in" content="{text}">' in page_of(browser)


def test_it_is_for_whoever_is_not_known_yet_but_not_as_often_as_they_like(offering: Settings, issuer: Issuer) -> None:
    with one_browser(offering.model_copy(update={"rate_limit": 0.2}), issuer) as browser:
        bad = {"Authorization": "Bearer nonsense", "Cookie": f"{SESSION}=nonsense"}
        codes = [browser.get("session/oidc", headers=bad).status_code for _ in range(3)]
        assert codes == [303, 303, 429]
        assert browser.get("session/oidc/callback").status_code == 429
        for path in ("session", "executions", "session/oidc/x", "session/oidc/"):
            assert browser.get(path).status_code == 401, path


def test_the_log_tells_why_and_no_secret(offering: Settings, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    with one_browser(offering, issuer) as browser, caplog.at_level(logging.INFO):
        back = at_issuer(begin(browser))
        kept = browser.cookies[COOKIE]
        browser.get(back)
        browser.get(back, headers={"Cookie": f"{COOKIE}={kept}"})
    (told,) = [each for each in caplog.records if getattr(each, "action", "") == "sign_in_failed"]
    assert "invalid_grant" in told.getMessage()
    assert told.__dict__["problem"] == "rejected"
    ours = "".join(f"{each.__dict__}" for each in caplog.records if each.name.startswith("execution_ledger"))
    assert "sign_in_failed" in ours
    assert not [
        secret for secret in (issuer.asked[0]["code"], issuer.asked[0]["code_verifier"], "eyJ") if secret in ours
    ]


def test_a_client_needs_an_issuer_and_an_audience_and_a_public_url_is_one() -> None:
    with pytest.raises(InvalidInput, match="OIDC_ISSUER"):
        create_app(Settings(oidc_client_id=CLIENT))
    with pytest.raises(InvalidInput, match="OIDC_AUDIENCE"):
        create_app(Settings(oidc_client_id=CLIENT, oidc_issuer="https://issuer.example"))
    for wrong in ("ledger.example.com", "https://", "https://ledger.example.com/below", "https://a@b", "ftp://a"):
        with pytest.raises(ValidationError, match="public_url"):
            Settings(public_url=wrong)
    for wrong in ("", "profile", "openid,profile", "openid2", " openid"):
        with pytest.raises(ValidationError, match="oidc_login_scope"):
            Settings(oidc_login_scope=wrong)
    assert Settings(oidc_login_scope="profile openid email").oidc_login_scope
    whole = Settings(oidc_client_id=CLIENT, oidc_issuer="https://issuer.example", oidc_audience="ledger")
    assert SignIn.of(whole, Tokens.of(whole)) is not None
