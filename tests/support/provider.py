"""An OpenID provider that others wrote, django-oauth-toolkit, where people log in and agree; and a person who does."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from html import unescape
from pathlib import Path

import httpx

from execution_ledger.api.http.sign_in import CALLBACK

PUBLIC, CONFIDENTIAL = "ledger-page", "ledger-page-with-secret"
SECRET = "päss:w/ord+ %"
PASSWORD = "correct horse"
PEOPLE = {"olga": ["ledger:read", "ledger:write"], "vera": ["ledger:read", "ledger:audit"], "nina": ["staff"]}
"""By the groups that they are in."""

_SITE = Path(__file__).with_name("provider_site.py")
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?')


class Provider:
    """A process; what it knows is in a folder, so that it can be stopped and started again.

    It is on another site than the service: `localhost` is not `127.0.0.1` to a browser. The port of the service may be
    any: for a loopback address it does not count (RFC 8252).
    """

    def __init__(self, folder: Path, *, slash: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://localhost:{port}"
        self.issuer = f"{self.url}/o{slash}"
        given = {"folder": str(folder), "port": port, "issuer": self.issuer, "people": PEOPLE, "password": PASSWORD}
        given |= {"clients": {PUBLIC: None, CONFIDENTIAL: SECRET}, "redirect_uri": f"http://127.0.0.1{CALLBACK}"}
        # -P: what lies beside the script is of our tests.
        self._command = [sys.executable, "-P", str(_SITE), json.dumps(given)]
        self.start()

    def start(self) -> None:
        env = os.environ | {"OAUTHLIB_INSECURE_TRANSPORT": "1"}  # it would have TLS, even here
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, env=env, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listens\n"

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Provider:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def visit(self, url: str, name: str, *, agree: bool = True) -> str:
        """Log in and agree, or do not: the URL that the person is sent back to."""
        with httpx.Client(trust_env=False, verify=False, timeout=30) as browser:

            def follow(answer: httpx.Response) -> httpx.Response:
                while answer.next_request is not None and f"{answer.next_request.url}".startswith(self.url):
                    answer = browser.send(answer.next_request)
                return answer

            form = follow(browser.get(url))
            assert form.url.path == "/login", form.text
            filled = _hidden(form) | {"username": name, "password": PASSWORD}
            answer = follow(browser.post(form.url, data=filled))
            if not answer.is_redirect:  # it asks for nothing that is wrong
                pressed = {"allow": "Authorize"} if agree else {}
                answer = browser.post(answer.url, data=_hidden(answer) | pressed)
            assert answer.is_redirect, answer.text
            return answer.headers["location"]


def _hidden(form: httpx.Response) -> dict[str, str]:
    return {name: unescape(value) for name, value in _HIDDEN.findall(form.text)}
