"""An OIDC issuer that says whatever a test wants: tokens and answers that no good one would give.

It is strict about what it is told. For an issuer that others wrote see `support.provider`.
"""

from __future__ import annotations

import json
import secrets
import threading
from base64 import b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT = "ledger-page"


class Issuer:
    """Listens until it is closed. What it does is told by its attributes."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        self.keys = {"keys": [jwk | {"kid": "one", "use": "sig", "alg": "ES256"}]}
        self.person: dict[str, Any] = {}
        """Claims of whoever signs in, beside those of `token`."""
        self.identity: dict[str, Any] = {}
        """Claims of their ID token, beside those that it must have."""
        self.secret: str | None = None
        """Of the client, where it is not a public one."""
        self.redirect_uris: set[str] = set()
        """What the client may be sent back to."""
        self.answer: dict[str, Any] = {}
        """Members of the token endpoint's answer in place of its own; None leaves one out."""
        self.status: int | None = None
        """What the token endpoint answers in any case."""
        self.asked: list[dict[str, str]] = []
        """Forms that the token endpoint was sent."""
        self.moved: set[str] = set()
        """Paths that lead to the same below `/new`."""
        self.authorized: list[str] = []
        """Paths that came with the client's secret."""
        self._codes: dict[str, dict[str, str]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.document: dict[str, Any] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
        }
        threading.Thread(target=self.server.serve_forever).start()

    def token(self, key: Any = None, algorithm: str = "ES256", **claims: Any) -> str:
        now = datetime.now(UTC)
        given = {"iss": self.url, "aud": "ledger", "sub": "ada", "ledger": "red", "scope": "openid ledger:read write"}
        given |= {"exp": now + timedelta(minutes=5)} | claims
        given = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(given, key or self.key, algorithm, headers={"kid": "one"})

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _check(self, asked: dict[str, str]) -> str | None:
        """What is wrong with where somebody is sent from, which no redirect may tell."""
        if asked.get("client_id") != CLIENT:
            return "unknown client"
        return None if asked.get("redirect_uri") in self.redirect_uris else "unknown redirect_uri"

    def _agree(self, asked: dict[str, str]) -> str:
        needed = {"response_type": "code", "code_challenge_method": "S256"}
        assert needed.items() <= asked.items(), asked
        assert {"state", "nonce", "code_challenge", "scope", "audience"} <= asked.keys(), asked
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return self._back(asked, code=code)

    def _back(self, asked: dict[str, str], **said: str) -> str:
        return f"{asked['redirect_uri']}?{urlencode(said | {'state': asked['state'], 'iss': self.url})}"

    def _exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(form)
        if self.status is not None:
            return self.status, {"error": "server_error"}
        client, secret = form.get("client_id"), form.get("client_secret")
        if authorization:
            kind, _, given = authorization.partition(" ")
            assert kind == "Basic"
            if form.keys() & {"client_id", "client_secret"}:  # as Okta says it
                return 401, {"error": "invalid_request", "error_description": "multiple client credentials"}
            client, _, secret = (unquote_plus(part) for part in b64decode(given).decode().partition(":"))
        if client != CLIENT or secret != self.secret:
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form.get("code", ""), None)  # once
        challenge = urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant", "error_description": "unknown code, or not of this verifier"}
        own = {"aud": CLIENT, "nonce": asked["nonce"], "ledger": None, "scope": None}
        answer = {"access_token": self.token(**self.person), "token_type": "Bearer", "expires_in": 300}
        answer |= {"id_token": self.token(**self.person | own | self.identity)} | self.answer
        return 200, {name: value for name, value in answer.items() if value is not None}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self._leads_on():
                    return
                url = urlsplit(self.path.removeprefix("/new"))
                asked = dict(parse_qsl(url.query))
                if url.path == "/.well-known/openid-configuration":
                    self._answer(200, issuer.document)
                elif url.path == "/keys":
                    self._answer(200, issuer.keys)
                elif url.path not in ("/agree", "/refuse"):
                    self._answer(404, None)
                elif (wrong := issuer._check(asked)) is not None:
                    self._answer(400, {"error": wrong})
                elif url.path == "/agree":
                    self._redirect(issuer._agree(asked))
                else:
                    self._redirect(issuer._back(asked, error="access_denied"))

            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == "application/x-www-form-urlencoded"
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if self._leads_on():
                    return
                form = dict(parse_qsl(body)) if self.path == "/token" else {}
                self._answer(*issuer._exchange(form, self.headers.get("Authorization", "")))

            def _leads_on(self) -> bool:
                if "Authorization" in self.headers:
                    issuer.authorized.append(self.path)
                if self.path not in issuer.moved:
                    return False
                self._redirect(f"/new{self.path}")
                return True

            def _redirect(self, url: str) -> None:
                self.send_response(302)
                self.send_header("Location", url)
                self.end_headers()

            def _answer(self, status: int, body: Any) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
