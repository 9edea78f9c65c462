"""The problems of each route, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ...domain import (
    CommandIdReused,
    DuplicateJobId,
    IllegalTransition,
    InvalidInput,
    LeaseHeld,
    LeaseLost,
    LedgerBusy,
    PayloadTooLarge,
    SchemaNotReady,
    StepConflict,
    StoreUnavailable,
    UnknownDeadLetter,
    UnknownProjection,
    UnknownStep,
    UnknownWebhook,
    VersionConflict,
)
from .problem_kinds import (
    EXECUTION_NOT_FOUND,
    FOREIGN_ORIGIN,
    HEADERS_TOO_LARGE,
    MALFORMED_JSON,
    MISDIRECTED,
    NOT_JSON,
    NOT_READY,
    SCOPE_MISSING,
    TOO_MANY_REQUESTS,
    TYPE_PREFIX,
    UNAUTHENTICATED,
    UNKNOWN_ENCODING,
    Kind,
    find_kind,
)
from .problem_kinds import NOT_FOUND as NOTHING_HERE


class ProblemDetails(BaseModel):
    """RFC 9457 problem details. Further members depend on the type."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        description="Stable; what programs should look at.", examples=[TYPE_PREFIX + "illegal-transition"]
    )
    title: str
    status: int
    detail: str
    field: str | None = Field(None, description="What of the input is wrong.")
    remedy: str | None = Field(None, description="What to do about it.")


def problem_responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route."""
    by_status: dict[int, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": "; ".join(dict.fromkeys(kind.title for kind in same)),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status, same in by_status.items()
    }


def _kinds(*errors: type[Any]) -> list[Kind]:
    return [find_kind(error) for error in errors]


EVERYWHERE = problem_responses(
    UNAUTHENTICATED,
    SCOPE_MISSING,
    FOREIGN_ORIGIN,
    MISDIRECTED,
    TOO_MANY_REQUESTS,
    HEADERS_TOO_LARGE,
    *_kinds(InvalidInput, LedgerBusy, StoreUnavailable, SchemaNotReady),
)
"""What any route may answer."""

_ETAG = {"ETag": {"description": "The version, for `If-Match`.", "schema": {"type": "string", "examples": ['"7"']}}}
_LOCATION = {"Location": {"description": "Where it is found.", "schema": {"type": "string", "format": "uri-reference"}}}
_POSITION = {
    "X-Position": {
        "description": "Of the last event that was written, for `X-Min-Position`.",
        "schema": {"type": "integer"},
    }
}
_VERSIONED: dict[int | str, dict[str, Any]] = {200: {"description": "The execution", "headers": _ETAG | _POSITION}}
_WRITTEN = {**_VERSIONED, 204: {"description": "Done, with `Prefer: return=minimal`", "headers": _ETAG | _POSITION}}

_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": _TEXT}}
}
EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "headers": {"X-Ledger-Size": {"description": "Up to which position.", "schema": {"type": "integer"}}},
        "content": dict.fromkeys(("application/x-ndjson", "text/csv", "application/vnd.apache.parquet"), _TEXT),
    }
}
READY = problem_responses(NOT_READY)
NOTHING = problem_responses(NOTHING_HERE)
METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The numbers", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **problem_responses(NOTHING_HERE),
}
NOT_FOUND = problem_responses(EXECUTION_NOT_FOUND)
READ = {**NOT_FOUND, **_VERSIONED}
BODY = (MALFORMED_JSON, NOT_JSON, UNKNOWN_ENCODING, *_kinds(PayloadTooLarge, InvalidInput, CommandIdReused))
CREATE = {
    **problem_responses(*BODY, *_kinds(DuplicateJobId)),
    201: {"description": "The new execution", "headers": {**_ETAG, **_POSITION, **_LOCATION}},
}
CHANGE = _WRITTEN | problem_responses(EXECUTION_NOT_FOUND, *BODY, *_kinds(IllegalTransition, VersionConflict))
DELETE = problem_responses(EXECUTION_NOT_FOUND, *_kinds(InvalidInput, CommandIdReused, VersionConflict))
STEP = _WRITTEN | problem_responses(
    EXECUTION_NOT_FOUND, *BODY, *_kinds(UnknownStep, IllegalTransition, StepConflict, VersionConflict)
)
LEASE = problem_responses(EXECUTION_NOT_FOUND, *BODY, *_kinds(LeaseHeld, LeaseLost, IllegalTransition))
LEASE_RELEASE = problem_responses(EXECUTION_NOT_FOUND, *_kinds(LeaseLost))
SESSION = problem_responses(NOTHING_HERE)
SIGN_IN: dict[int | str, dict[str, Any]] = {
    **problem_responses(NOTHING_HERE),
    303: {"description": "The way on", "headers": _LOCATION},
}
PROJECTION = problem_responses(*_kinds(UnknownProjection))
BATCH = problem_responses(*BODY)
_WEBHOOK_BODY = (MALFORMED_JSON, NOT_JSON, *_kinds(PayloadTooLarge, InvalidInput))
WEBHOOK_CREATE = {
    **problem_responses(*_WEBHOOK_BODY),
    201: {"description": "The new webhook", "headers": _LOCATION},
}
WEBHOOK = problem_responses(*_kinds(UnknownWebhook))
WEBHOOK_CHANGE = problem_responses(*_WEBHOOK_BODY, *_kinds(UnknownWebhook))
DEAD_LETTER = problem_responses(*_kinds(UnknownWebhook, UnknownDeadLetter))
CREATE_OR_CHANGE = problem_responses(EXECUTION_NOT_FOUND, *BODY, *_kinds(DuplicateJobId, IllegalTransition))
