"""One call of the service as data: what is sent, and how the answer is read. Nothing here touches a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import msgspec

from ...domain import FIELDS, InvalidInput
from ...infrastructure import EXECUTIONS, ExecutionHistory, Lease, WriteOptions
from ...projections import RecordedEvent, StepSpan

T = TypeVar("T")

_HEADERS = {
    "actor": "X-Actor",
    "correlation_id": "X-Correlation-Id",
    "causation_id": "X-Causation-Id",
    "command_id": "Idempotency-Key",
}
"""Options of a write that travel as headers of their own."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """What to send, and what to make of the answer."""

    method: str
    path: str
    """Below `/api/v1/`, percent-encoded."""
    read: Callable[[httpx.Response], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    missing: bool = False
    """Whether 404 is an answer, as `or_else`, where it tells that there is no such execution."""
    or_else: Any = None
    """What is answered then."""
    repeatable: bool = True
    """Whether it may be sent again when nobody knows if it arrived."""
    seconds: float = 0.0
    """How long the service may take to answer, where that is longer than the client would wait."""

    def parameters(self) -> dict[str, list[str]]:
        """The query string: lists as repeated names, times as ISO 8601, what is None left out."""
        given = {name: value for name, value in self.query.items() if value is not None}
        return {name: [_plain(name, each) for each in _each(value)] for name, value in given.items()}

    def content(self) -> bytes | None:
        """The body as JSON."""
        try:
            return None if self.body is None else msgspec.json.encode(self.body)
        except UnicodeEncodeError:
            members = self.body.items() if isinstance(self.body, Mapping) else ()
            raise _no_text(next((name for name, value in members if not _is_text(value)), "body")) from None


def write(
    path: str,
    body: Mapping[str, Any] | None,
    options: WriteOptions,
    *,
    method: str = "POST",
    read: Callable[[httpx.Response], T],
    missing: bool = True,
) -> Call[T]:
    """A write: with a key of its own, so that it can be sent again."""
    given: dict[str, Any] = {**options}
    headers = {header: str(given[name]) for name, header in _HEADERS.items() if given.get(name) is not None}
    headers.setdefault("Idempotency-Key", uuid4().hex)
    said = {name: given[name] for name in ("reason", "occurred_at") if given.get(name) is not None}
    if body is not None:
        body = {**body, **said}
    elif "reason" in said:
        headers["X-Reason"] = said["reason"]
    if (expected := given.get("expected_version")) is not None:
        headers["If-Match"] = f'"{expected}"'
    if (lease := given.get("lease")) is not None:
        headers["X-Lease-Token"] = str(lease.token if isinstance(lease, Lease) else lease)
    if trace := given.get("trace_id"):
        headers["traceparent"] = f"00-{trace}-{uuid4().hex[:16]}-01"
    return Call(method, path, read, headers=headers, body=body, missing=missing)


def path_of(job_id: str, *parts: str) -> str:
    """The path of an execution, or of something below it."""
    return "/".join(("executions", quoted("job_id", job_id), *(quoted("step_id", part) for part in parts)))


def quoted(name: str, part: str) -> str:
    """Part of a path, percent-encoded; dots alone, which proxies would take for a folder, behind a bare `=`."""
    return f"={part}" if part in (".", "..") else quote(utf8(name, part), safe="")


def utf8(name: str, text: str) -> bytes:
    """Text as it is sent."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _no_text(name) from None


def _no_text(name: str) -> InvalidInput:
    problem = "holds a lone surrogate, which is not Unicode text"
    return InvalidInput(field=name, problem=problem, remedy="Decode the text first.")


def _is_text(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def nothing(_: httpx.Response) -> None:
    """An answer without a body."""


def as_type(kind: type[T]) -> Callable[[httpx.Response], T]:
    """Reads the whole answer as this type."""
    return lambda response: msgspec.json.decode(response.content, type=kind)


def member(name: str, kind: type[T]) -> Callable[[httpx.Response], T]:
    """Reads one member of the answer as this type."""
    return lambda response: msgspec.convert(msgspec.json.decode(response.content)[name], kind)


_TYPES: dict[str, Any] = {
    "json": Any,
    "object": dict[str, Any] | None,
    "time": datetime | None,
    "integer": int | None,
    "fraction": float | None,
}
_Row = msgspec.defstruct("_Row", [(name, _TYPES.get(each.kind, str | None)) for name, each in FIELDS.items()])


def execution_of(body: Mapping[str, Any]) -> ExecutionHistory:
    """An `Execution` of an answer as what the repository gives."""
    given = {
        "ledger_id": body["ledger"],
        "id": body["id"],
        "execution_id": msgspec.convert(body["stream_id"], UUID),
        "version": body["version"],
        "updated_at": datetime.fromisoformat(body["updated_at"]),
    }
    return EXECUTIONS.load({**given, **msgspec.structs.asdict(msgspec.convert(body, _Row))})


def execution(response: httpx.Response) -> ExecutionHistory:
    """The execution that is the answer."""
    return execution_of(msgspec.json.decode(response.content))


def event_of(body: Mapping[str, Any]) -> RecordedEvent:
    """An `Event` of an answer as what the queries give."""
    return msgspec.convert({**body, "execution_id": body["stream_id"], "ledger_id": body["ledger"]}, RecordedEvent)


def events_of(bodies: Iterable[Mapping[str, Any]]) -> list[RecordedEvent]:
    """Several of them."""
    return [event_of(body) for body in bodies]


def nested_steps(flat: Iterable[Mapping[str, Any]]) -> list[StepSpan]:
    """Steps of an answer, each inside the one that it lies in."""
    by_id: dict[str, StepSpan] = {}
    outermost: list[StepSpan] = []
    for body in flat:
        step = msgspec.convert(body, StepSpan)
        by_id[step.step_id] = step
        parent = by_id.get(step.parent_step_id or "")
        (outermost if parent is None else parent.steps).append(step)
    return outermost


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple, set, frozenset)) else (value,)


def _plain(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, Enum):
        return str(value.value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    utf8(name, text)
    return text
