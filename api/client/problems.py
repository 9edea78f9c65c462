"""Problem details as the errors that they were in the service."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from ...domain import DuplicateJobId, LedgerError, StoreUnavailable
from ..http.problem_kinds import ERRORS, TYPE_PREFIX, find_kind

_MEMBERS = {"type", "title", "status", "detail"}
_CLASSES: dict[str, type[LedgerError]] = {"duplicate-job-id": DuplicateJobId}
for _error, _kind in ERRORS.items():
    _CLASSES.setdefault(_kind.name, _error)


class ServiceError(LedgerError):
    """{title}."""

    status: int
    """Of HTTP; 0 where there was no answer."""
    title: str


class ForeignAnswer(ServiceError, StoreUnavailable):
    """{address} answered {title}, but not as an execution-ledger service does. Check the address."""

    address: str


def error_of(response: httpx.Response) -> LedgerError:
    """The error that an answer tells of: that of the repository where it is one of its own, else `ServiceError`."""
    body = _problem_of(response)
    return foreign_answer(response) if body is None else problem_error(body)


def foreign_answer(response: httpx.Response) -> ForeignAnswer:
    """The error of an answer that is not the service's own: that of a proxy, say."""
    title = f"{response.status_code} {response.reason_phrase}".rstrip()
    return ForeignAnswer(address=response.url.netloc.decode(), title=title, status=response.status_code)


def _problem_of(response: httpx.Response) -> dict[str, Any] | None:
    """The problem details of an answer; None where it has none of ours."""
    try:
        body = msgspec.json.decode(response.content)
    except ValueError:
        return None
    known = isinstance(body, dict) and str(body.get("type")).startswith(TYPE_PREFIX)
    return body if known else None


def problem_error(body: dict[str, Any]) -> LedgerError:
    """The error that problem details tell of."""
    name, detail = body["type"].removeprefix(TYPE_PREFIX), body["detail"]
    details = {member: value for member, value in body.items() if member not in _MEMBERS}
    kind = _CLASSES.get(name)
    if kind is not None and find_kind(kind).detail is None:  # the error's own message, which ends with the remedy
        return kind.told(detail, details)
    told = detail if detail.endswith((".", "?", "!")) else f"{detail}."
    remedy = f" {body['remedy']}" if body.get("remedy") and body["remedy"] not in detail else ""
    if kind is not None and kind is not LedgerError:
        return kind.told(told + remedy, details)
    return ServiceError.told(told + remedy, details | {"status": body["status"], "title": body["title"]})


def no_answer(error: httpx.TransportError, address: str) -> StoreUnavailable:
    """The error of a request that was not answered, however often it was sent."""
    problem = str(error).rstrip(".") or type(error).__name__
    remedy = "Check the address."
    message = f"{address} does not answer: {problem}. {remedy}"
    return StoreUnavailable.told(message, {"problem": problem, "remedy": remedy})
