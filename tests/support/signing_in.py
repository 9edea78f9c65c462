"""What a browser meets that signs in with OIDC."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import httpx

from execution_ledger.api.http.sessions import COOKIE


def begin(browser: httpx.Client, following: str = "/") -> str:
    """Go to the issuer: the URL that the browser is sent to."""
    answer = browser.get("session/oidc", params={"next": following})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def problem_of(answer: httpx.Response) -> str:
    """Why nobody was signed in, as the page is told, and that nobody was."""
    assert (answer.status_code, answer.content) == (303, b"")
    assert COOKIE not in answer.headers.get("set-cookie", "")
    url = urlsplit(answer.headers["location"])
    assert (url.scheme, url.netloc, url.path) == ("", "", "/login")
    return dict(parse_qsl(url.query))["problem"]
