"""Headers that requests may carry. Dependencies read them off the request, and say here which they read.

FastAPI could hand them over one by one; that took more time than the rest of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from ...domain import InvalidInput
from ...domain.limits import KEY_LENGTH, LEDGER_LENGTH, REASON_LENGTH
from ...domain.values import check_text

_Call = TypeVar("_Call", bound=Callable[..., Any])

_POSITION = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_TOKEN = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_LONGEST = {"X-Ledger": LEDGER_LENGTH, "X-Reason": REASON_LENGTH}
"""Characters, where it is not `KEY_LENGTH`."""


def _text(description: str, longest: int = KEY_LENGTH) -> tuple[str, dict[str, Any]]:
    return description, {"type": "string", "minLength": 1, "maxLength": longest}


HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Ledger": _text(
        "The ledger to use in place of the service's own; with a key or token, only its own.", LEDGER_LENGTH
    ),
    "X-Actor": _text("Who did it, where nobody needs a key: else it is whose key that is."),
    "X-Reason": _text("Why.", REASON_LENGTH),
    "X-Correlation-Id": _text("The piece of work it belongs to, across executions; the X-Request-Id, if left out."),
    "X-Causation-Id": _text("What directly led to it."),
    "traceparent": ("W3C trace context: its trace id is recorded. Ignored if it is malformed.", {"type": "string"}),
    "Prefer": ("`return=minimal`: answer a write with its headers alone (RFC 7240).", {"type": "string"}),
    "Idempotency-Key": _text("The same key with the same command records nothing again, however often it is sent."),
    "If-Match": (
        'The ETag of an answer, as `"7"`: refuse (412) if the execution has changed since.',
        {"type": "string", "pattern": r'^((W/)?"[0-9]{1,18}"|[*])$'},
    ),
    "X-Lease-Token": ("The token of your lease: refuse (412) once a newer one was taken.", _TOKEN),
    "X-Min-Position": (
        "Answer not before this position is known: `X-Position` of a write (503 after 5 s).",
        _POSITION,
    ),
}
"""Each with its description and its schema."""


def reads(*names: str) -> Callable[[_Call], _Call]:
    """Say which headers a dependency reads, for the OpenAPI document."""

    def mark(call: _Call) -> _Call:
        call.__dict__["headers"] = names
        return call

    return mark


class Route(APIRoute):
    """A route whose document has the headers that its dependencies read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = dict.fromkeys(name for call in _calls(self.dependant) for name in getattr(call, "headers", ()))
        if names:
            extra = self.openapi_extra or {}
            self.openapi_extra = {**extra, "parameters": [*extra.get("parameters", ()), *map(_documented, names)]}


def _calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from _calls(each)


def _documented(name: str) -> dict[str, Any]:
    description, schema = HEADERS[name]
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def text_header(request: Request, name: str) -> str | None:
    """A header's value as UTF-8, which is what clients send; the server hands it on as Latin-1."""
    value = request.headers.get(name)
    if value is None:
        return None
    try:
        text = value if value.isascii() else value.encode("latin-1").decode()
    except UnicodeError as error:
        raise InvalidInput(field=name, problem="is not UTF-8", remedy="Send UTF-8.") from error
    return check_text(text, name, _LONGEST.get(name, KEY_LENGTH), min_length=1)


def integer_header(request: Request, name: str) -> int | None:
    """A header's value as an integer within its bounds."""
    value = request.headers.get(name)
    if value is None:
        return None
    _, schema = HEADERS[name]
    least, most = schema["minimum"], schema["maximum"]
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19 and least <= int(digits) <= most):
        raise InvalidInput(
            field=name,
            problem=f"{value[:40]!r} is not such a number",
            remedy=f"Send an integer from {least} to {most}.",
        )
    return int(digits)
