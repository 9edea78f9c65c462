"""Signing in with OIDC: the authorization code flow with PKCE, from the way to the issuer to who came back from it."""

from __future__ import annotations

import hmac
import logging
import secrets
from base64 import b64encode, urlsafe_b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus, urlencode

from ...domain import InvalidInput
from ...infrastructure import Settings
from .principal import Principal
from .problems import Problem
from .signed import Expiring, Signed, cookie_header
from .tokens import Tokens

PATH = "/api/v1/session/oidc"
CALLBACK = f"{PATH}/callback"
COOKIE = "execution_ledger_sign_in"

_PATIENCE = timedelta(minutes=10)
"""In which a person must have come back."""

_log = logging.getLogger("execution_ledger.api")


class Failure(StrEnum):
    """Why nobody is signed in, as the page is told."""

    REFUSED = "refused"
    """The person did not agree, or the issuer does not let them."""
    EXPIRED = "expired"
    """This browser did not begin it, or too long ago."""
    UNKNOWN = "unknown"
    """The issuer knows them, and says nothing of a ledger or of scopes."""
    UNAVAILABLE = "unavailable"
    """The issuer does not answer."""
    REJECTED = "rejected"
    """The issuer, or this service, does not accept what the other one said."""


_SAID = {
    "access_denied": Failure.REFUSED,
    "server_error": Failure.UNAVAILABLE,
    "temporarily_unavailable": Failure.UNAVAILABLE,
}
"""What an issuer says by `error`; anything else is rejected."""


class SignInFailed(Exception):
    """Nobody is signed in."""

    def __init__(self, failure: Failure, why: str) -> None:
        super().__init__(why)
        self.failure = failure


class Begun(Expiring, frozen=True, kw_only=True):
    """What the cookie keeps meanwhile, in the browser that began it."""

    state: str
    nonce: str
    verifier: str
    next: str


class SignIn:
    """Sends people to the issuer, and finds out who comes back."""

    def __init__(self, settings: Settings, tokens: Tokens, client_id: str) -> None:
        self._tokens, self._client_id = tokens, client_id
        self._secret, self._scope = settings.oidc_client_secret, settings.oidc_login_scope
        self._cookies = Signed(settings, "sign-in", Begun)

    @classmethod
    def of(cls, settings: Settings, tokens: Tokens | None) -> SignIn | None:
        """None where no client is set."""
        if settings.oidc_client_id is None:
            return None
        if tokens is None:
            raise InvalidInput(
                field="oidc_client_id",
                problem="is set, and no issuer is",
                remedy="Set EXECUTION_LEDGER_OIDC_ISSUER and EXECUTION_LEDGER_OIDC_AUDIENCE.",
            )
        return cls(settings, tokens, settings.oidc_client_id)

    async def begin(self, following: str, redirect_uri: str, now: datetime) -> tuple[str, str]:
        """Where the browser goes, and the cookie with which it comes back."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = Begun(expires_at=now + _PATIENCE, state=state, nonce=nonce, verifier=verifier, next=following)
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": self._scope,
            "audience": self._tokens.audience,
            "state": state,
            "nonce": nonce,
            "code_challenge": urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        try:
            endpoint = await self._tokens.issuer.ask(self._tokens.issuer.endpoint, "authorization_endpoint")
        except Problem as error:
            raise SignInFailed(Failure.UNAVAILABLE, "the issuer does not answer") from error
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", self._cookies.sign(begun)

    def find_begun(self, cookie: str | None, state: str | None, now: datetime) -> Begun | None:
        """What this browser began, where the answer that it brings is to that."""
        begun = None if cookie is None else self._cookies.read(cookie, now)
        if begun is None or not hmac.compare_digest(begun.state.encode(), (state or "").encode()):
            return None
        return begun

    async def finish(self, begun: Begun, said: dict[str, str | None], redirect_uri: str) -> Principal:
        """Who came back. The session's length is this service's own: the tokens' end in minutes, and are forgotten."""
        error, code, issuer = said["error"], said["code"], said["iss"]
        if issuer not in (None, self._tokens.issuer.url):
            raise SignInFailed(Failure.REJECTED, f"the answer is of another issuer: {issuer!r:.300}")
        if error is not None:  # without `iss` even by issuers that promise it, and it signs nobody in
            raise SignInFailed(_SAID.get(error, Failure.REJECTED), _told(said))
        if code is None:
            raise SignInFailed(Failure.REJECTED, "the answer has no code")
        try:
            await self._tokens.issuer.ask(self._check_named, issuer)
            answer = await self._tokens.issuer.ask(self._exchange, code, begun.verifier, redirect_uri)
            principal = await self._find(answer, begun.nonce)
        except Problem as unavailable:
            raise SignInFailed(Failure.UNAVAILABLE, "the issuer does not answer") from unavailable
        return replace(principal, expires_at=None)

    def _check_named(self, issuer: str | None) -> None:
        """RFC 9207: an issuer that promises to name itself in its answers has not given one that names none."""
        promised = self._tokens.issuer.discover().get("authorization_response_iss_parameter_supported")
        if issuer is None and promised is True:
            raise SignInFailed(Failure.REJECTED, "the answer names no issuer, which this one promises to do")

    def _exchange(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        form |= {"code_verifier": verifier}
        issuer, headers = self._tokens.issuer, {}
        if self._secret is None:
            form["client_id"] = self._client_id
        else:
            secret = self._secret.get_secret_value()
            ways = issuer.discover().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            if "client_secret_basic" in ways:  # and nothing in the form: Okta refuses to be told twice who asks
                pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
                headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
            else:
                form |= {"client_id": self._client_id, "client_secret": secret}
        status, answer = issuer.exchange(form, headers)
        if status != 200:
            raise SignInFailed(Failure.REJECTED, f"the token endpoint answers {status}: {_told(answer)}")
        return answer

    async def _find(self, answer: dict[str, Any], nonce: str) -> Principal:
        """By the access token where it is for this service; else by the ID token, which tells of this sign-in."""
        access, identity = answer.get("access_token"), answer.get("id_token")
        told = await self._tokens.verify(identity, self._client_id) if isinstance(identity, str) else None
        if told is None or not self._is_answer(told, nonce):
            raise SignInFailed(Failure.REJECTED, "there is no ID token, or it is not good, or not of this sign-in")
        allowed = await self._tokens.verify(access, self._tokens.audience) if isinstance(access, str) else None
        principals = (self._tokens.principal(claims) for claims in (allowed, told) if claims is not None)
        found = next((each for each in principals if each is not None and each.scopes), None)
        if found is None:
            audience = "" if allowed is not None else "; the access token is not for the audience that is set"
            raise SignInFailed(Failure.UNKNOWN, f"{told.get('sub')!r} has no ledger, or no scopes{audience}")
        return found

    def _is_answer(self, claims: dict[str, Any], nonce: str) -> bool:
        """OpenID Connect Core, 3.1.3.7: of this sign-in, and for this client: among others, if it is said to be its."""
        said, audience = claims.get("nonce"), claims["aud"]
        alone = audience in (self._client_id, [self._client_id])
        of_client = claims.get("azp", self._client_id if alone else None) == self._client_id
        return of_client and isinstance(said, str) and hmac.compare_digest(said.encode(), nonce.encode())


def sign_in_cookie(value: str, *, secure: bool) -> str:
    """The header that gives a browser the cookie, or takes it away. Lax: the way back is from the issuer's site."""
    seconds = int(_PATIENCE.total_seconds()) if value else 0
    return cookie_header(COOKIE, value, seconds=seconds, same_site="Lax", secure=secure)


def tell_failure(failed: SignInFailed) -> None:
    """To the log: the person is told no more than the kind."""
    _log.warning("nobody was signed in: %s", failed, extra={"action": "sign_in_failed", "problem": str(failed.failure)})


def _told(said: dict[str, Any]) -> str:
    return f"{said.get('error')!r:.80} {said.get('error_description')!r:.300}"
