"""OIDC access tokens: JWTs of one issuer, for one audience, whose claims name a ledger and scopes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jwt

from ...domain import InvalidInput, LedgerError, check_ledger
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_text
from ...infrastructure import SCOPES, Settings
from .issuer import TIMEOUT, Issuer
from .principal import Principal
from .problem_kinds import ISSUER_UNAVAILABLE
from .problems import Problem

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by a private key. None with a shared secret: whoever can check such a token can make one."""
_LEEWAY = 30
"""Seconds that clocks may differ."""


class Tokens:
    """Checks tokens against the issuer's published keys."""

    def __init__(self, settings: Settings, issuer: str, audience: str) -> None:
        self._settings = settings
        self.issuer, self.audience = Issuer(issuer), audience
        self._keys: jwt.PyJWKClient | None = None

    @classmethod
    def of(cls, settings: Settings) -> Tokens | None:
        """None where no issuer is set."""
        if settings.oidc_issuer is None:
            return None
        if settings.oidc_audience is None:
            raise InvalidInput(
                field="oidc_audience",
                problem="is not set, so tokens for other services would be taken",
                remedy="Set EXECUTION_LEDGER_OIDC_AUDIENCE.",
            )
        return cls(settings, settings.oidc_issuer, settings.oidc_audience)

    async def find(self, token: str) -> Principal | None:
        """Whose token it is; None where it is not good. Raises where the issuer does not answer."""
        claims = await self.verify(token, self.audience)
        return None if claims is None else self.principal(claims)

    async def verify(self, token: str, audience: str) -> dict[str, Any] | None:
        """What a token of the issuer for an audience claims; None where it is not good. Raises as `find` does."""
        return await self.issuer.ask(self._verify, token, audience)

    def _verify(self, token: str, audience: str) -> dict[str, Any] | None:
        try:
            return jwt.decode(
                token,
                self._client().get_signing_key_from_jwt(token),
                algorithms=_ALGORITHMS,
                issuer=self.issuer.url,
                audience=audience,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWKClientConnectionError, OSError) as error:
            raise Problem(ISSUER_UNAVAILABLE) from error
        except (jwt.PyJWTError, ValueError):
            return None

    def principal(self, claims: dict[str, Any]) -> Principal | None:
        """Whom the claims of a good token name; None where they name nobody, or no ledger."""
        settings = self._settings
        if settings.oidc_actor_claim == "email" and claims.get("email_verified", True) not in (True, "true"):
            return None  # whose address it is, nobody knows: people can give another's
        try:
            ledger = check_ledger(claims.get(settings.oidc_ledger_claim))
            actor = check_text(claims.get(settings.oidc_actor_claim), "actor", KEY_LENGTH, min_length=1)
            expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
        except (LedgerError, ValueError, OverflowError):
            return None  # a token that names no ledger may see none; nor one whose end no calendar has
        given = claims.get(settings.oidc_scope_claim)
        names = given.split() if isinstance(given, str) else given if isinstance(given, (list, dict)) else []
        scopes = frozenset(name.removeprefix("ledger:") for name in names if isinstance(name, str))
        return Principal(f"token {actor}", actor, ledger, scopes.intersection(SCOPES), expires_at=expires_at)

    def _client(self) -> jwt.PyJWKClient:
        if self._keys is None:
            url = self._settings.oidc_jwks_url or self.issuer.endpoint("jwks_uri")
            self._keys = jwt.PyJWKClient(url, lifespan=300, timeout=TIMEOUT)
        return self._keys
