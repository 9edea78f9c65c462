"""What an error looks like over HTTP: RFC 9457 problem details."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from ...domain import InvalidInput, LedgerError
from ..page import is_for_page, page_response
from .problem_kinds import ERRORS, EXECUTION_NOT_FOUND, INTERNAL, NOT_FOUND, TYPE_PREFIX, Kind, find_kind

_T = TypeVar("_T")
_log = logging.getLogger("execution_ledger.api")


class Problem(HTTPException):
    """A problem of HTTP itself, raised where the domain has no word for it."""

    def __init__(self, kind: Kind, detail: str | None = None, **members: Any) -> None:
        super().__init__(kind.status, detail or kind.title)
        self.kind = kind
        self.members = members


def existing(found: _T | None) -> _T:
    """What was found; the problem of an execution that is not there, where it was None."""
    if found is None:
        raise Problem(EXECUTION_NOT_FOUND)
    return found


def problem_body(kind: Kind, detail: str, members: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Problem details."""
    remedy = {} if kind.remedy is None else {"remedy": kind.remedy}
    told = {"type": TYPE_PREFIX + kind.name, "title": kind.title, "status": kind.status, "detail": detail}
    return {**told, **remedy, **(members or {})}


def problem_response(
    kind: Kind, detail: str, members: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer: `application/problem+json`, in ASCII, so that whatever a caller sent can be told back."""
    text = json.dumps(problem_body(kind, detail, members))
    extra = {"Retry-After": str(kind.retry_after)} if kind.retry_after is not None else {}
    return Response(text, kind.status, {**extra, **(headers or {})}, "application/problem+json")


def explain(error: LedgerError) -> tuple[Kind, str, dict[str, Any]]:
    """The kind, the detail and the members that tell of an error of the domain; the log is told of those of ours."""
    kind = find_kind(type(error))
    if kind.status >= 500:
        _log.error(
            "%s: %s",
            kind.name,
            error,
            exc_info=error if kind.status == 500 else None,
            extra={"action": "request_failed", "problem": kind.name},
        )
    return kind, kind.detail or str(error), {name: error.details[name] for name in kind.members}


def ledger_problem(error: LedgerError) -> Response:
    """The answer for an error of the domain."""
    return problem_response(*explain(error))


async def _on_ledger_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LedgerError)
    return ledger_problem(error)


async def _on_invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": _field(each["loc"]), "problem": each["msg"]} for each in error.errors()[:20]]
    first = errors[0]
    members = {"field": first["field"], "remedy": "See /api/v1/openapi.json for what may be sent.", "errors": errors}
    return problem_response(ERRORS[InvalidInput], f"{first['field']}: {first['problem']}", members)


def _field(location: tuple[Any, ...]) -> str:
    """`inputs.a` for a field of the body, the plain name for a parameter; the part itself where it is all wrong."""
    return ".".join(str(part)[:80] for part in location[1:]) or str(location[0])


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return problem_response(error.kind, str(error.detail), error.members)
    assert isinstance(error, StarletteHTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    if error.status_code == 404 and error.detail == phrase:
        if is_for_page(request.method, request.url.path, request.headers.get("accept", "")):
            return page_response(request, 404)
        return problem_response(NOT_FOUND, NOT_FOUND.title)
    kind = Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase)
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the router names the methods of one of the path's routes only
        headers["Allow"] = _allowed_methods(request) or headers.get("Allow", "")
    return problem_response(kind, str(error.detail), headers=headers)


def _allowed_methods(request: Request) -> str:
    for template, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), request.scope["path"]):
            return ", ".join(sorted(method.upper() for method in operations))
    return ""


async def _on_unexpected(_: Request, __: Exception) -> Response:
    return problem_response(INTERNAL, "See the log.")  # Starlette raises the error again, for the server to log it


def install_problems(app: FastAPI) -> None:
    """Answer every error of the app with problem details."""
    app.add_exception_handler(LedgerError, _on_ledger_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(StarletteHTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)
