"""What can be asked of the service: each function makes one call. Names and arguments are those of the library.

`options` are those of the repository's writes; a `command_id` is made where none is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypedDict, Unpack
from uuid import UUID

import httpx
import msgspec

from ...domain import DEFAULT_TTL
from ...infrastructure import ExecutionHistory, HistoryFilters, HistoryPage, Lease, Root, WriteOptions
from ...projections import (
    AuditedEvent,
    Comparison,
    Diff,
    EndedRun,
    EventCount,
    EventFilters,
    EventPage,
    Explanation,
    FailureReason,
    FieldChange,
    LedgerSummary,
    ProjectionStatus,
    RecordedEvent,
    Spans,
    Statistics,
    StatisticsFilters,
    TouchedRun,
)
from ..http.commands import COMMANDS
from .calls import (
    Call,
    as_type,
    event_of,
    events_of,
    execution,
    execution_of,
    member,
    nested_steps,
    nothing,
    path_of,
    quoted,
    write,
)
from .problems import problem_error
from .streams import MessageReader

Instant = datetime | str
Clock = Literal["recorded", "occurred"]
_PATHS = {command.event: command.path for command in COMMANDS if command.event is not None}


class ExecutionEvents(NamedTuple):
    """A page of the events of one execution."""

    events: list[RecordedEvent]
    next_version: int | None
    """`from_version` of the page that follows; None on the last one."""


# Executions


def get_execution_by_job_id(job_id: str) -> Call[ExecutionHistory | None]:
    """The execution with this job id, or None."""
    return Call("GET", path_of(job_id), execution, missing=True)


def get(id: int | str) -> Call[ExecutionHistory | None]:
    """The execution with this number, or with this job id."""
    if isinstance(id, str):
        return get_execution_by_job_id(id)
    return Call("GET", "executions", lambda response: next(iter(_page(response).executions), None), {"id": id})


def get_execution_at(
    job_id: str, *, version: int | None = None, as_of: Instant | None = None, by: Clock = "recorded"
) -> Call[ExecutionHistory | None]:
    """The execution as it was right after one of its events, or at a time; None where there was none."""
    query = {"version": version, "as_of": as_of, "by": by}
    return Call("GET", path_of(job_id), execution, query, missing=True)


def get_execution_history(
    limit: int = 100, offset: int = 0, **filters: Unpack[HistoryFilters]
) -> Call[tuple[list[ExecutionHistory], int]]:
    """A page, newest first, and how many there are in all."""

    def read(response: httpx.Response) -> tuple[list[ExecutionHistory], int]:
        return _page(response).executions, msgspec.json.decode(response.content)["total"]

    return Call("GET", "executions", read, {"limit": limit, "offset": offset, **_filters(filters)})


def get_execution_page(
    limit: int = 100, cursor: str | None = None, *, as_of: Instant | None = None, **filters: Unpack[HistoryFilters]
) -> Call[HistoryPage]:
    """The page after `cursor` (the first one without), in the same order; `as_of`: as the list was then."""
    return Call("GET", "executions", _page, {"limit": limit, "cursor": cursor, "as_of": as_of, **_filters(filters)})


def create_execution(data: Mapping[str, Any], **options: Unpack[WriteOptions]) -> Call[ExecutionHistory]:
    """Record a new execution: pending unless `data` says otherwise, with a made-up job id if it has none."""
    return write("executions", data, options, read=execution, missing=False)


def update_execution(
    job_id: str, data: Mapping[str, Any], **options: Unpack[WriteOptions]
) -> Call[ExecutionHistory | None]:
    """Change fields. A status among them is a transition, and obeys the table of transitions."""
    return write(path_of(job_id), data, options, method="PATCH", read=execution)


def mark_execution_completed(
    job_id: str, result: Any = None, **options: Unpack[WriteOptions]
) -> Call[ExecutionHistory | None]:
    """Complete it; without a result, an earlier one stays."""
    return transition(job_id, "completed", {"result": result} if result else None, **options)


def mark_execution_failed(job_id: str, error: str, **options: Unpack[WriteOptions]) -> Call[ExecutionHistory | None]:
    """Fail it; an earlier result stays."""
    return transition(job_id, "failed", {"error": error}, **options)


def transition(
    job_id: str, event: str, data: Mapping[str, Any] | None = None, **options: Unpack[WriteOptions]
) -> Call[ExecutionHistory | None]:
    """Make the transition that `event` names in the table ("approved", "stop_requested" …), with further fields."""
    return write(path_of(job_id, _PATHS.get(event, event)), data or {}, options, read=execution)


def correct_execution(
    job_id: str, data: Mapping[str, Any], **options: Unpack[WriteOptions]
) -> Call[ExecutionHistory | None]:
    """Set fields in spite of the transition table. It needs a `reason`."""
    return write(path_of(job_id, "correct"), data, options, read=execution)


def report_late_outcome(
    job_id: str, status: str, result: Any = None, error: str | None = None, **options: Unpack[WriteOptions]
) -> Call[ExecutionHistory | None]:
    """Keep what a worker reports after its run was ended; the status stays."""
    body = _given(status=status, result=result, error=error)
    return write(path_of(job_id, "late-outcome"), body, options, read=execution)


def delete(job_id: str, **options: Unpack[WriteOptions]) -> Call[bool]:
    """Take it out of the history; its events stay. False where there is none."""
    return replace(write(path_of(job_id), None, options, method="DELETE", read=lambda _: True), or_else=False)


# Steps and notes


def start_step(
    job_id: str,
    step_id: str,
    name: str | None = None,
    *,
    kind: str | None = None,
    parent_step_id: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    started_at: Instant | None = None,
    **options: Unpack[WriteOptions],
) -> Call[ExecutionHistory | None]:
    """Begin a step, inside `parent_step_id` where that is given."""
    body = _given(
        step_id=step_id,
        name=name,
        kind=kind,
        parent_step_id=parent_step_id,
        attributes=attributes,
        started_at=started_at,
    )
    return write(path_of(job_id, "steps"), body, options, read=execution)


def finish_step(
    job_id: str,
    step_id: str,
    outcome: str = "completed",
    *,
    result: Any = None,
    error: str | None = None,
    finished_at: Instant | None = None,
    **options: Unpack[WriteOptions],
) -> Call[ExecutionHistory | None]:
    """End a step."""
    body = _given(outcome=outcome, result=result, error=error, finished_at=finished_at)
    return write(path_of(job_id, "steps", step_id, "finish"), body, options, read=execution)


def add_note(
    job_id: str,
    text: str,
    *,
    level: str = "info",
    source: str | None = None,
    step_id: str | None = None,
    data: Any = None,
    **options: Unpack[WriteOptions],
) -> Call[ExecutionHistory | None]:
    """Keep a remark, a line of output, a traceback."""
    body = _given(text=text, level=level, source=source, step_id=step_id, data=data)
    return write(path_of(job_id, "notes"), body, options, read=execution)


# Leases


def take_lease(job_id: str, *, holder: str, ttl: float = DEFAULT_TTL) -> Call[Lease]:
    """Take its lease; `LeaseHeld` while another holder has it."""
    return Call("POST", path_of(job_id, "lease"), _lease, body={"holder": holder, "ttl": ttl})


def renew_lease(lease: Lease, *, ttl: float = DEFAULT_TTL) -> Call[Lease]:
    """Renew it; `LeaseLost` where it is lost: stop the work then."""
    return Call("PUT", path_of(lease.key, "lease"), _lease, headers=_token(lease), body={"ttl": ttl})


def release_lease(lease: Lease) -> Call[None]:
    """Give it back; `LeaseLost` where it was lost."""
    return Call("DELETE", path_of(lease.key, "lease"), nothing, headers=_token(lease), repeatable=False)


# Replay


def execution_events(job_id: str, limit: int = 1_000, *, from_version: int = 1) -> Call[ExecutionEvents | None]:
    """Its events in order, a page at a time; also where it was deleted."""

    def read(response: httpx.Response) -> ExecutionEvents:
        body = msgspec.json.decode(response.content)
        return ExecutionEvents(events_of(body["events"]), body["next_version"])

    return Call("GET", path_of(job_id, "events"), read, {"limit": limit, "from_version": from_version}, missing=True)


def frames(
    job_id: str, from_version: int = 1, to_version: int | None = None
) -> Call[list[tuple[RecordedEvent, ExecutionHistory | None]]]:
    """Its events, each with the execution right after it (None once it is deleted)."""
    query = {"speed": 0, "from_version": from_version, "to_version": to_version}
    return Call("GET", path_of(job_id, "replay"), _frames, query)


def spans(job_id: str, *, limit: int = 10_000, from_version: int = 1, steps: bool = True) -> Call[Spans | None]:
    """Its statuses and steps as stretches of time, a page at a time."""

    def read(response: httpx.Response) -> Spans:
        body = msgspec.json.decode(response.content)
        return msgspec.convert({**body, "steps": nested_steps(body["steps"])}, Spans)

    query = {"limit": limit, "from_version": from_version, "steps": steps}
    return Call("GET", path_of(job_id, "spans"), read, query, missing=True)


def diff(
    job_id: str, before: int | Instant, after: int | Instant | None = None, *, by: Clock = "recorded"
) -> Call[Diff | None]:
    """What changed between two versions or instants; to the present, without the second."""
    query = {"before": before, "after": after, "by": by}
    return Call("GET", path_of(job_id, "diff"), as_type(Diff), query, missing=True)


def explain(
    job_id: str,
    field: str | None = None,
    *,
    version: int | None = None,
    as_of: Instant | None = None,
    by: Clock = "recorded",
) -> Call[dict[str, Explanation] | None]:
    """The event behind each value, as it is now or was at a moment."""
    query = {"field": field, "version": version, "as_of": as_of, "by": by}
    return Call("GET", path_of(job_id, "explain"), member("fields", dict[str, Explanation]), query, missing=True)


def compare(job_id: str, other: str) -> Call[Comparison]:
    """Two runs step by step, with the first divergence."""
    return Call("GET", path_of(job_id, "compare"), as_type(Comparison), {"other": other})


# Audit


def audit(
    limit: int = 100, cursor: str | None = None, *, newest_first: bool = True, **filters: Unpack[EventFilters]
) -> Call[EventPage]:
    """A page of the events that pass every filter, each with what it changed."""

    def read(response: httpx.Response) -> EventPage:
        body = msgspec.json.decode(response.content)
        return EventPage(**{**body, "events": [_audited(each) for each in body["events"]]})

    order = "newest" if newest_first else "oldest"
    return Call("GET", "audit", read, {"limit": limit, "cursor": cursor, "order": order, **filters})


def count_events(**filters: Unpack[EventFilters]) -> Call[EventCount]:
    """How many events pass every filter."""
    return Call("GET", "audit/count", as_type(EventCount), dict(filters))


def last_change(job_id: str, field: str) -> Call[AuditedEvent | None]:
    """Who changed this field last, when and why; None where nobody ever set it."""
    query = {"job_id": job_id, "field": field}
    return Call("GET", "audit/last-change", lambda response: _audited(response.json()), query, missing=True)


def touched_runs(correlation_id: str, limit: int = 1_000) -> Call[list[TouchedRun]]:
    """All runs that have an event with this correlation id."""
    query = {"correlation_id": correlation_id, "limit": limit}
    return Call("GET", "audit/runs", member("runs", list[TouchedRun]), query)


# Statistics


def statistics(
    ended_from: Instant,
    ended_before: Instant,
    *,
    by: Literal["hour", "day", "run_name", "execution_type"] | None = None,
    after: Instant | None = None,
    limit: int = 100,
    **filters: Unpack[StatisticsFilters],
) -> Call[list[Statistics]]:
    """Counts by outcome and percentiles of runs that ended in whole hours, one group or several."""
    query = {"ended_from": ended_from, "ended_before": ended_before, "by": by, "after": after, "limit": limit}
    return Call("GET", "statistics", member("groups", list[Statistics]), {**query, **filters})


def most_failing(
    ended_from: Instant, ended_before: Instant, *, limit: int = 10, **filters: Unpack[StatisticsFilters]
) -> Call[list[Statistics]]:
    """The run names with the most failed runs."""
    return _ranking("most-failing", member("groups", list[Statistics]), ended_from, ended_before, limit, filters)


def failure_reasons(
    ended_from: Instant, ended_before: Instant, *, limit: int = 10, **filters: Unpack[StatisticsFilters]
) -> Call[list[FailureReason]]:
    """Why runs failed, the commonest reason first."""
    return _ranking("failure-reasons", member("reasons", list[FailureReason]), ended_from, ended_before, limit, filters)


def longest_runs(
    ended_from: Instant,
    ended_before: Instant,
    *,
    limit: int = 10,
    reason: str | None = None,
    **filters: Unpack[StatisticsFilters],
) -> Call[list[EndedRun]]:
    """The runs that took longest; with `reason`, those that failed for it."""
    asked = {**filters, "reason": reason}
    return _ranking("longest", member("runs", list[EndedRun]), ended_from, ended_before, limit, asked)


def most_retried(
    ended_from: Instant, ended_before: Instant, *, limit: int = 10, **filters: Unpack[StatisticsFilters]
) -> Call[list[EndedRun]]:
    """The runs with the highest attempts above 1."""
    return _ranking("most-retried", member("runs", list[EndedRun]), ended_from, ended_before, limit, filters)


# The ledger


def events(
    limit: int = 100, *, newest_first: bool = True, after: int | None = None, before: int | None = None, **filters: Any
) -> Call[list[RecordedEvent]]:
    """A page of the ledger's events; page on with the last position as `before` (oldest first: `after`)."""
    order = "newest" if newest_first else "oldest"
    query = {"limit": limit, "order": order, "after": after, "before": before, **filters}
    return Call("GET", "events", lambda response: events_of(response.json()["events"]), query)


def summary() -> Call[LedgerSummary]:
    """The ledger in numbers."""
    return Call("GET", "ledger", as_type(LedgerSummary))


def root(size: int | None = None) -> Call[Root]:
    """What the ledger of this size hashes to (RFC 9162)."""

    def read(response: httpx.Response) -> Root:
        body = response.json()
        return Root(body["ledger"], body["size"], bytes.fromhex(body["root"]))

    return Call("GET", "ledger/root", read, {"size": size})


def projections() -> Call[list[ProjectionStatus]]:
    """How far each projection has read the ledger, and what stopped it."""
    return Call("GET", "projections", member("projections", list[ProjectionStatus]))


def retry_projection(name: str) -> Call[list[ProjectionStatus]]:
    """Have a stopped projection try again."""
    path = f"projections/{quoted('name', name)}/retry"
    return Call("POST", path, member("projections", list[ProjectionStatus]))


# Batches


def create_executions(
    items: Iterable[Mapping[str, Any]], **options: Unpack[WriteOptions]
) -> Call[list[ExecutionHistory | Exception]]:
    """Record up to 1,000 executions; what became of each: the execution, or why it was refused."""
    body = {"executions": [dict(item) for item in items]}
    given: WriteOptions = {**options}
    reason = given.pop("reason", None)
    if reason is not None:
        body["executions"] = [{"reason": reason, **item} for item in body["executions"]]
    return write("executions:batch", body, given, read=_results, missing=False)


def send_commands(commands: Iterable[Mapping[str, Any]]) -> Call[list[ExecutionHistory | Exception | None]]:
    """Send up to 1,000 commands, each as `{"execution_id": …, "command": "complete", "body": {…}}`.

    What became of each: the execution, None where it is deleted, or why it was refused. Give each an
    `idempotency_key` of its own, or nothing is sent again when the answer is lost.
    """
    items = [dict(command) for command in commands]
    keyed = all(item.get("idempotency_key") for item in items)
    return Call("POST", "commands:batch", _results, body={"commands": items}, repeatable=keyed)


class LineageAnswer(TypedDict):
    """What OpenLineage has a batch answered with."""

    status: str
    summary: dict[str, int]
    failed_events: list[dict[str, Any]]


def send_lineage(events: list[Any]) -> Call[LineageAnswer]:
    """Record up to 1,000 OpenLineage events; the answer is that of OpenLineage. Sent again, all is recorded once."""
    return Call("POST", "lineage/batch", as_type(LineageAnswer), body=events)


def _frames(response: httpx.Response) -> list[tuple[RecordedEvent, ExecutionHistory | None]]:
    reader = MessageReader()
    messages = list(reader.feed(response.content))
    return [
        (event_of(each.data["event"]), None if each.data["execution"] is None else execution_of(each.data["execution"]))
        for each in messages
        if each.event == "frame"
    ]


def _page(response: httpx.Response) -> HistoryPage:
    body = msgspec.json.decode(response.content)
    return HistoryPage([execution_of(each) for each in body["executions"]], body["next_cursor"])


def _filters(filters: HistoryFilters) -> dict[str, Any]:
    attributes = filters.get("attributes")
    encoded = None if attributes is None else msgspec.json.encode(attributes).decode()
    return {**filters, "attributes": encoded}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _lease(response: httpx.Response) -> Lease:
    body = response.json()
    return Lease(
        ledger=body["ledger"],
        id=body["id"],
        key=body["job_id"],
        execution_id=UUID(body["stream_id"]),
        token=body["token"],
        holder=body["holder"],
        taken_at=datetime.fromisoformat(body["taken_at"]),
        expires_at=datetime.fromisoformat(body["expires_at"]),
    )


def _token(lease: Lease) -> dict[str, str]:
    return {"X-Lease-Token": str(lease.token)}


def _audited(body: Mapping[str, Any]) -> AuditedEvent:
    changes = msgspec.convert(body["changes"], dict[str, FieldChange])
    return AuditedEvent(event=event_of(body["event"]), changes=changes)


def _ranking(
    name: str, read: Any, ended_from: Instant, ended_before: Instant, limit: int, filters: Mapping[str, Any]
) -> Call[Any]:
    query = {"ended_from": ended_from, "ended_before": ended_before, "limit": limit, **filters}
    return Call("GET", f"statistics/{name}", read, query)


def _results(response: httpx.Response) -> list[Any]:
    results = msgspec.json.decode(response.content)["results"]
    return [
        problem_error(each["problem"])
        if each["problem"] is not None
        else None
        if each["execution"] is None
        else execution_of(each["execution"])
        for each in results
    ]
