"""Settings of the service and the command line, from the environment. The library takes arguments instead."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, IPvAnyNetwork, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..domain import DEFAULT_TTL, Limits
from ..domain.leases import LEASE_BOUNDS
from ..domain.limits import LEDGER_LENGTH

LONGEST_WEBHOOK_TIMEOUT = 300.0
"""Seconds; whoever waits for what a webhook answers must wait longer."""


class Settings(BaseSettings):
    """Each is read from `EXECUTION_LEDGER_<NAME>`, if that is not empty; the command line's options come before it."""

    model_config = SettingsConfigDict(env_prefix="EXECUTION_LEDGER_", env_ignore_empty=True)

    database_url: str = Field(
        default="sqlite:///execution-ledger.db",
        description="Where the ledger lives: `sqlite:///file.db` or `postgresql://…`.",
    )
    url: str | None = Field(
        default=None,
        description="A service that `record` and the reading commands call in place of a database, as `http://127.0.0.1:8470`.",
    )
    key: SecretStr | None = Field(default=None, description="API key or token for that service.")
    ledger: str = Field(default="default", min_length=1, max_length=LEDGER_LENGTH, description="The ledger to use.")
    actor: str | None = Field(
        default=None, description="Who is recorded as the actor; the user's login name if not set."
    )
    max_payload_bytes: int = Field(
        default=Limits().payload_bytes, ge=1024, description="Largest payload of one event, in bytes of UTF-8 JSON."
    )
    lease_ttl: float = Field(
        default=DEFAULT_TTL,
        ge=LEASE_BOUNDS[0],
        le=LEASE_BOUNDS[1],
        description="Seconds that the lease of a run lasts which `record` renews; a run is ended that long after its "
        "`record` is gone.",
    )
    reap_interval: float = Field(
        default=5,
        ge=0.05,
        le=86_400,
        description="Seconds between two looks for expired leases, of `serve` and of `reap --watch`.",
    )
    receipt_days: float = Field(
        default=30,
        gt=0,
        description="Days for which a command id is remembered; `serve` forgets older ones once an hour.",
    )
    host: str = Field(
        default="127.0.0.1", description="Address that `serve` listens on; without `auth` a loopback address."
    )
    port: int = Field(default=8470, ge=0, le=65535, description="Port that `serve` listens on; 0 takes a free one.")
    pool_size: int = Field(default=10, ge=1, le=1000, description="Database connections that `serve` keeps open.")

    writers: int = Field(
        default=4, ge=1, le=100, description="Threads, each with a connection, with which `serve` writes in groups."
    )
    write_patience: float = Field(
        default=5,
        ge=0,
        description="Seconds for which `serve` keeps a write that the database does not answer, before it is refused.",
    )

    projectors: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Threads, each with a connection, with which `serve` keeps projections up to date.",
    )
    projection_interval: float = Field(
        default=1,
        ge=0.05,
        le=3600,
        description="Seconds between two looks for events that projections and webhooks have not had, where nobody "
        "told of any.",
    )

    audit_interval: float = Field(
        default=10,
        ge=0,
        le=86_400,
        description="Seconds between two samples that `serve` folds once more and compares with what it answers from; "
        "0 takes none.",
    )
    audit_sample: int = Field(default=20, ge=1, le=1000, description="Executions in such a sample.")

    auth: bool = Field(
        default=False,
        description="Whether `serve` asks for an API key or a token. Without, it listens on a loopback address only.",
    )
    key_cache: float = Field(
        default=10,
        ge=0,
        le=3600,
        description="Seconds for which `serve` remembers that a key or token is good: a revoked key ends within them.",
    )
    oidc_issuer: str | None = Field(
        default=None, description="Issuer of the JWT bearer tokens that `serve` takes beside keys; none, if not set."
    )
    oidc_audience: str | None = Field(default=None, description="Audience that such tokens must be for.")
    oidc_jwks_url: str | None = Field(
        default=None, description="Where the issuer's keys are; what its discovery document says, if not set."
    )
    oidc_ledger_claim: str = Field(default="ledger", description="Claim that names the ledger of a token.")
    oidc_scope_claim: str = Field(
        default="scope",
        description="Claim with its scopes: text with blanks, or a list; `ledger:read` counts as `read`.",
    )
    oidc_actor_claim: str = Field(
        default="sub",
        description="Claim that is recorded as the actor; of `email`, no address that `email_verified` says is not.",
    )
    oidc_client_id: str | None = Field(
        default=None, description="Client as which the page lets people sign in at the issuer; not offered, if not set."
    )
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="Secret of that client; without one it is a public client, which PKCE protects."
    )
    oidc_login_scope: str = Field(
        default="openid",
        pattern=r"^(\S+ )*openid( \S+)*$",
        description="Scopes that it asks the issuer for, with blanks between them; `openid` is one of them.",
    )
    oidc_login_name: str = Field(
        default="single sign-on",
        min_length=1,
        max_length=40,
        description="What the page calls it: the button says “Sign in with …”.",
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#\\@]+/?$",
        description="Where browsers reach the service, as `https://ledger.example.com`: from the issuer they come back "
        "there; what the request says, if not set.",
    )
    session_hours: float = Field(
        default=12, gt=0, le=24 * 30, description="Hours after which whoever logged in on the page must log in again."
    )
    session_secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="What the page's sessions are signed with, 32 characters or more, the same for services that share "
        "an address; if not set, `serve` makes one up, and a restart ends all sessions.",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="Bearer token for `/metrics`, which tells of all ledgers; without one, `auth` hides it.",
    )
    rate_limit: float = Field(
        default=0,
        ge=0,
        description="Requests a second that one key or token (without `auth`: one address) may send, ten seconds' "
        "worth at once; 0 for any number.",
    )
    cors_origins: list[str] = Field(
        default=[], description="Origins whose pages may call the service, as a JSON list; none, if not set."
    )

    log_format: Literal["auto", "text", "json"] = Field(
        default="auto",
        description="How `serve` logs, to standard error: as text at a terminal and JSON elsewhere, or always as one.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What `serve` logs; `warning` leaves out a line for each request."
    )

    workers: int = Field(default=1, ge=1, le=64, description="Processes that `serve` listens with.")

    webhook_deliveries: int = Field(
        default=20,
        ge=0,
        le=1000,
        description="Webhooks that each process of `serve` delivers to at once, half of them of one ledger at most; 0 "
        "delivers none.",
    )
    webhook_allow: list[IPvAnyNetwork] = Field(
        default=[],
        description='Networks that webhooks may reach beside the internet, as a JSON list: `["10.0.0.0/8"]`.',
    )
    webhook_refuse: list[IPvAnyNetwork] = Field(
        default=[],
        description="Networks that webhooks may not reach though they are of the internet, or within `webhook_allow`.",
    )
    webhook_timeout: float = Field(
        default=15,
        ge=0.1,
        le=LONGEST_WEBHOOK_TIMEOUT,
        description="Seconds in which a webhook must have answered a delivery.",
    )
    webhook_tries: int = Field(default=12, ge=1, le=1000, description="Tries after which an event is a dead letter.")
    webhook_retry_delay: float = Field(
        default=5,
        ge=0.01,
        le=86_400,
        description="Seconds from the first try to the second; then twice as many each time.",
    )
    webhook_longest_delay: float = Field(
        default=3600, ge=0.01, le=604_800, description="Seconds between two tries, at most."
    )

    event_source: str = Field(
        default="urn:execution-ledger:ledger:",
        pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*$",
        description="Begins the URI that names a ledger as the `source` of its CloudEvents; its name follows. Set one "
        "that no other installation has, as `https://ledger.example.com/ledgers/`.",
    )

    telemetry: bool = Field(
        default=False,
        description="Whether `serve` sends traces and metrics by OTLP, as the variables `OTEL_…` say; needs the extra "
        "`otel`.",
    )

    @property
    def limits(self) -> Limits:
        """Bounds for the domain."""
        return Limits(payload_bytes=self.max_payload_bytes)
