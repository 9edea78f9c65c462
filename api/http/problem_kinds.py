"""Which error is which problem over HTTP. Status codes stand in this table and nowhere below."""

from __future__ import annotations

from typing import NamedTuple

from ...domain import (
    CommandIdReused,
    DuplicateKey,
    EngineNotConfigured,
    EventMissing,
    IllegalTransition,
    InvalidInput,
    LeaseHeld,
    LeaseLost,
    LedgerBusy,
    LedgerError,
    NotProjected,
    OutcomeUnknown,
    PayloadTooLarge,
    ReadOnly,
    RebuildRefused,
    SchemaNotReady,
    SchemaTooNew,
    StepConflict,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnitRefused,
    UnknownDeadLetter,
    UnknownEventType,
    UnknownExecution,
    UnknownKey,
    UnknownProjection,
    UnknownStep,
    UnknownWebhook,
    VersionConflict,
    WriterClosed,
)

TYPE_PREFIX = "urn:execution-ledger:problem:"
"""What precedes the name of a problem in its `type`; names never change."""


class Kind(NamedTuple):
    """One row of the table of problems."""

    status: int
    name: str
    title: str
    remedy: str | None = None
    """What to do, where the error itself does not say."""
    members: tuple[str, ...] = ()
    """Data of the error that the answer carries as members of their own."""
    retry_after: int | None = None
    """Seconds after which it is worth trying again."""
    detail: str | None = None
    """Said in place of the error's message where that may tell of the database's inside; the log has the message."""


_RETRY = "Try again later, with the same Idempotency-Key, so that nothing is recorded twice."

ERRORS: dict[type[LedgerError], Kind] = {
    InvalidInput: Kind(422, "invalid-input", "The input is not valid", None, ("field", "remedy")),
    PayloadTooLarge: Kind(413, "payload-too-large", "The payload is too large", None, ("field", "remedy")),
    DuplicateKey: Kind(409, "duplicate-job-id", "The job id is taken", "Choose another job id.", ("deleted",)),
    IllegalTransition: Kind(409, "illegal-transition", "The status cannot change so", None, ("source", "remedy")),
    UnknownExecution: Kind(404, "execution-not-found", "Execution not found"),
    UnknownStep: Kind(404, "unknown-step", "Step not found", "Start the step first.", ("step_id",)),
    StepConflict: Kind(409, "step-conflict", "The step does not allow this", None, ("step_id", "remedy")),
    VersionConflict: Kind(
        412, "version-conflict", "The execution has changed", "Read it again, then decide.", ("expected", "actual")
    ),
    LeaseHeld: Kind(
        409, "lease-held", "Somebody else works on it", "Try again when the lease has expired.", ("holder",)
    ),
    LeaseLost: Kind(412, "lease-lost", "The lease is lost", "Stop the work; an outcome may still be told.", ("token",)),
    CommandIdReused: Kind(
        422, "idempotency-key-reused", "The Idempotency-Key was used before", "Give every command a key of its own."
    ),
    ReadOnly: Kind(405, "read-only", "This cannot be written", None, ("remedy",)),
    NotProjected: Kind(
        503, "not-projected", "The read model is not there yet", "Try again later.", ("position", "min_position"), 1
    ),
    RebuildRefused: Kind(409, "rebuild-refused", "The rebuild cannot do this now", None, ("projection", "remedy")),
    UnknownKey: Kind(404, "unknown-key", "API key not found"),
    UnknownWebhook: Kind(404, "unknown-webhook", "Webhook not found"),
    UnknownDeadLetter: Kind(404, "unknown-dead-letter", "Dead letter not found"),
    UnknownProjection: Kind(404, "unknown-projection", "Projection not found", None, ("known",)),
    LedgerBusy: Kind(503, "ledger-busy", "The ledger is busy", _RETRY, (), 1, "Too many writers at once."),
    StoreUnavailable: Kind(
        503, "store-unavailable", "The database does not answer", _RETRY, (), 5, "The database does not answer."
    ),
    StoreFull: Kind(
        507, "store-full", "The database has no room left", _RETRY, (), 60, "Nothing was recorded: there is no room."
    ),
    OutcomeUnknown: Kind(
        503,
        "outcome-unknown",
        "The connection to the database broke during the write",
        "Send it again with the same Idempotency-Key: it is recorded once.",
        (),
        5,
        "Nobody knows yet whether it was recorded.",
    ),
    WriterClosed: Kind(503, "shutting-down", "The service is ending", _RETRY, (), 1, "Nothing was recorded."),
    SchemaNotReady: Kind(
        503,
        "schema-not-ready",
        "The database's schema does not fit",
        "Run `execution-ledger migrate`.",
        (),
        60,
        "The tables are missing, or of another version.",
    ),
    SchemaTooNew: Kind(
        503, "schema-too-new", "The database's schema does not fit", None, (), 60, "Upgrade execution-ledger."
    ),
    UnitRefused: Kind(500, "internal-error", "Internal error", _RETRY, (), None, "See the log."),
    EventMissing: Kind(500, "event-missing", "The ledger is damaged", "Restore it from a backup."),
    StoreError: Kind(500, "store-error", "The database refused", _RETRY, (), None, "The database refused."),
    EngineNotConfigured: Kind(500, "internal-error", "The service is not set up", None, (), None, "See the log."),
    UnknownEventType: Kind(500, "unknown-event-type", "The service is too old", "Upgrade execution-ledger."),
    LedgerError: Kind(500, "internal-error", "Internal error", _RETRY, (), None, "See the log."),
}
"""Error → problem; an error without a row of its own takes that of its nearest base."""

EXECUTION_NOT_FOUND = Kind(404, "execution-not-found", "Execution not found")
NOT_FOUND = Kind(404, "not-found", "There is nothing here", "See /api/v1/openapi.json for what there is.")
MALFORMED_JSON = Kind(400, "malformed-json", "The body is not JSON", "Send JSON as of RFC 8259.")
NOT_JSON = Kind(415, "unsupported-media-type", "The body is not JSON", "Send Content-Type: application/json.")
UNKNOWN_ENCODING = Kind(
    415, "unsupported-encoding", "The body is compressed in a way not known here", "Send it as it is, or with gzip."
)
BODY_TOO_LARGE = Kind(413, "payload-too-large", "The payload is too large", "Store it elsewhere and record a link.")
FOREIGN_ORIGIN = Kind(403, "foreign-origin", "Another site's page may not call this service")
MISDIRECTED = Kind(421, "misdirected-request", "Not the host of this service", "Call it by a loopback address.")
UNAUTHENTICATED = Kind(
    401, "unauthenticated", "Nobody knows who calls", "Send `Authorization: Bearer` with an API key or a token."
)
SCOPE_MISSING = Kind(
    403, "scope-missing", "The key or token is not for this", "Ask for a key with this scope.", ("scope",)
)
FOREIGN_LEDGER = Kind(
    403, "foreign-ledger", "The key or token is of another ledger", "Leave X-Ledger out, or use another key."
)
ACTOR_KNOWN = Kind(
    403,
    "actor-known",
    "The actor is whose key or token it is",
    "Leave the actor (X-Actor) out; say more in the reason (X-Reason).",
)
TOO_MANY_REQUESTS = Kind(429, "too-many-requests", "Too many requests", "Wait as long as Retry-After says.")
HEADERS_TOO_LARGE = Kind(431, "headers-too-large", "The headers are too large", "Send less of them.")
NOT_READY = Kind(503, "not-ready", "The service is not ready", "Try again later.", (), 5)
ISSUER_UNAVAILABLE = Kind(503, "issuer-unavailable", "The issuer of tokens does not answer", "Try again later.", (), 5)
INTERNAL = Kind(500, "internal-error", "Internal error", _RETRY)


def find_kind(error: type[LedgerError]) -> Kind:
    """The row for a class of errors, or for its nearest base."""
    return next(ERRORS[base] for base in error.__mro__ if base in ERRORS)
