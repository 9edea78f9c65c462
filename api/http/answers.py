"""What is answered, for the OpenAPI document; a test compares every answer with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import Field, create_model

from ...domain import FIELDS
from ...infrastructure.webhooks import Attempt, DeadLetter, Endpoint
from ...projections import (
    Comparison,
    Diff,
    EndedRun,
    EventCount,
    Explanation,
    FailureReason,
    FieldChange,
    ProjectionStatus,
    Statistics,
    StepEnd,
    TouchedRun,
)
from .schemas import DESCRIPTIONS, field_type
from .struct_models import Answer, answer_model, struct_model

_GIVEN: dict[str, Any] = {
    "execution_id": (str, Field(description="The id that paths take: the caller's own, the same as `job_id`.")),
    "ledger": (str, Field(description="The ledger that it is recorded in.")),
    "id": (int, Field(description="Its number in the ledger, in order of creation.")),
    "stream_id": (UUID, Field(description="The UUID of its events' stream.")),
    "version": (int, Field(description="How many events it has; the ETag.")),
    "updated_at": (datetime, Field(description="When its last event was recorded.")),
}
_COLUMNS: dict[str, Any] = {
    name: (field_type(name, nullable=field.nullable), Field(description=DESCRIPTIONS[name]))
    for name, field in FIELDS.items()
}
Execution: type[Answer] = create_model("Execution", __base__=Answer, **cast(Any, {**_GIVEN, **_COLUMNS}))


# A model that is made, rather than written, is no type to a checker: hence the ignored ones below.
class ExecutionList(Answer):
    """A page of the history, newest first."""

    executions: list[Execution]  # type: ignore[valid-type]
    total: int | None = Field(description="How many there are in all; null where they were not counted.")
    next_cursor: str | None = Field(description="For the page that follows; null on the last one.")
    creators: dict[str, str | None] | None = Field(description="Who created each, by job id, where that was asked.")


class Event(Answer):
    """One recorded fact."""

    ledger: str = Field(description="The ledger that it is recorded in.")
    position: int = Field(description="In that ledger: 1, 2, 3 … without gaps.")
    job_id: str
    stream_id: UUID
    version: int = Field(description="In its execution: 1, 2, 3 …")
    type: str = Field(examples=["execution.completed"])
    schema_version: int
    data: dict[str, Any] | None = Field(description="What it says; null once it was erased.")
    recorded_at: datetime = Field(description="By the ledger's clock.")
    occurred_at: datetime | None = Field(description="By the reporter's clock.")
    actor: str | None
    reason: str | None
    correlation_id: str | None
    causation_id: str | None
    trace_id: str | None
    command_id: str | None


class EventList(Answer):
    """A page of a ledger's events."""

    events: list[Event]
    next_before: int | None = Field(
        description="Newest first: `before` for the page that follows; null on the last one."
    )
    next_after: int | None = Field(description="Oldest first: `after` for the page that follows; null on the last one.")


class CloudEvent(Answer):
    """An event in the JSON format of CloudEvents 1.0; what it lacks is left out."""

    specversion: Literal["1.0"]
    id: str = Field(description="Ledger and position.", examples=["default/7"])
    source: str = Field(description="The ledger, as a URI.", examples=["urn:execution-ledger:ledger:default"])
    type: str = Field(examples=["org.executionledger.execution.completed"])
    subject: str = Field(description="The job id.")
    time: datetime = Field(description="When it happened, by the reporter's clock if that is known.")
    datacontenttype: Literal["application/json"]
    ledger: str
    position: str
    sequence: str = Field(description="The position with leading zeros, so that text sorts.")
    streamid: UUID
    streamversion: str
    schemaversion: int
    recordedtime: datetime
    actor: str | None = None
    reason: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    commandid: str | None = None
    traceparent: str | None = None
    data: dict[str, Any] | None = Field(description="What it says; null once it was erased.")


class StatusTime(Answer):
    """The time spent in one status."""

    status: str
    version: int = Field(description="The event that began it.")
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None


class StepTime(Answer):
    """One step."""

    step_id: str
    parent_step_id: str | None
    name: str
    kind: str | None
    outcome: str | None = Field(description="Null while it is open.")
    error: str | None
    version: int | None = Field(description="The event that began it; null where that was not read.")
    finished_version: int | None = Field(description="The event that ended it; null where that was not read.")
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None


StepEndAnswer = struct_model(StepEnd, "StepEndAnswer")


class SpansAnswer(Answer):
    """An execution as stretches of time, or a page of it: each is on the page on which it begins."""

    job_id: str
    version: int = Field(description="The last event of which this tells.")
    statuses: list[StatusTime] = Field(description="The last one lasts until a later page tells of another.")
    steps: list[StepTime] = Field(description="In order of their start; those inside another one right after it.")
    ended: list[StepEndAnswer] = Field(  # type: ignore[valid-type]
        description="Ends of steps that began on an earlier page."
    )
    next_version: int | None = Field(description="`from_version` for the page that follows; null on the last one.")


class TimelineAnswer(Answer):
    """What happened in one execution; spans tell of the events of this page."""

    job_id: str
    events: list[Event]
    statuses: list[StatusTime]
    steps: list[StepTime] = Field(description="In order of their start; those inside another one right after it.")
    next_version: int | None = Field(description="`from_version` for the page that follows; null on the last one.")


class ExecutionEvents(Answer):
    """A page of the events of one execution."""

    job_id: str
    events: list[Event]
    next_version: int | None = Field(description="`from_version` for the page that follows; null on the last one.")


DiffAnswer = struct_model(Diff, "DiffAnswer")
ExplanationAnswer = answer_model(
    "ExplanationAnswer", "The event that each value comes from.", job_id=str, fields=dict[str, Explanation]
)
ComparisonAnswer = struct_model(Comparison, "ComparisonAnswer")


AuditedEvent = answer_model(
    "AuditedEvent", "An event and what it changed.", event=Event, changes=dict[str, FieldChange]
)


class AuditPage(Answer):
    """A page of an audit."""

    events: list[AuditedEvent]  # type: ignore[valid-type]
    next_cursor: str | None = Field(description="For the page behind this one; null where there is nothing now.")
    previous_cursor: str | None = Field(description="For the page before this one.")
    complete: bool = Field(description="False where a bound on the events looked at ended the page: go on.")
    scanned: int = Field(description="Events that were looked at.")


CountAnswer = struct_model(EventCount, "CountAnswer")


TouchedRuns = answer_model("TouchedRuns", "Runs that belong to one piece of work.", runs=list[TouchedRun])
StatisticsAnswer = answer_model(
    "StatisticsAnswer", "Counts and percentiles, one for each group.", groups=list[Statistics]
)
FailureReasons = answer_model("FailureReasons", "Why runs failed.", reasons=list[FailureReason])
EndedRuns = answer_model("EndedRuns", "Runs that ended.", runs=list[EndedRun])
Projections = answer_model(
    "Projections", "How far each projection has read the ledger.", projections=list[ProjectionStatus]
)


class LeaseAnswer(Answer):
    """The right to work on an execution, until it expires."""

    ledger: str
    job_id: str
    id: int = Field(description="The number of the execution.")
    stream_id: UUID
    token: int = Field(description="Send it as X-Lease-Token with every command.")
    holder: str
    taken_at: datetime
    expires_at: datetime


class BatchItem(Answer):
    """What became of one item."""

    status: int = Field(description="As if it had been sent alone.")
    execution: Execution | None = Field(description="As it is now; null where it was refused, or is deleted.")  # type: ignore[valid-type]
    problem: dict[str, Any] | None = Field(description="Problem details, where it was refused.")


class BatchAnswer(Answer):
    """What became of each item, in their order."""

    results: list[BatchItem]


class LineageAnswer(Answer):
    """What became of an OpenLineage event; all null for one that is of no run."""

    job_id: str | None
    status: str | None
    version: int | None
    position: int | None


class LineageSummary(Answer):
    """How many events of a batch were recorded."""

    received: int
    successful: int
    failed: int
    retriable: int = Field(description="Failed, and worth sending again as they are.")
    non_retriable: int


class LineageFailure(Answer):
    """An event of a batch that was not recorded."""

    index: int
    reason: str
    retriable: bool


class LineageBatch(Answer):
    """What became of a batch of OpenLineage events."""

    status: Literal["success", "partial_success"] = Field(description="Whether all were recorded.")
    summary: LineageSummary
    failed_events: list[LineageFailure]


class LineageEvents(Answer):
    """A page of OpenLineage RunEvents."""

    events: list[dict[str, Any]]
    next_version: int | None = Field(description="`from_version` for the page that follows; null on the last one.")


WebhookAnswer = struct_model(Endpoint, "WebhookAnswer")
WebhookList = answer_model("WebhookList", "The webhooks of a ledger.", webhooks=list[WebhookAnswer])
NewWebhook = answer_model("NewWebhook", "A webhook with a new secret.", webhook=WebhookAnswer, secret=str)
DeliveryAnswer = struct_model(Attempt, "DeliveryAnswer")
DeadLetters = answer_model(
    "DeadLetters", "A page of dead letters.", dead_letters=list[DeadLetter], next_after=int | None
)


class ProjectionLag(Answer):
    """How far a projection is behind."""

    projection: str
    position: int
    lag: int = Field(description="Events that it has not read yet.")
    stopped: bool = Field(description="Whether it waits for a retry.")


class LedgerAnswer(Answer):
    """A ledger in numbers."""

    ledger: str
    size: int = Field(description="Events.")
    executions: int = Field(description="Executions that are not deleted.")
    statuses: dict[str, int]
    created_at: datetime | None = Field(description="Null for a ledger without events.")
    projections: list[ProjectionLag]


class WriterHealth(Answer):
    """The writer of the process that answers."""

    waiting: int = Field(description="Commands that wait or are being written, of all ledgers.")


class FeedHealth(Answer):
    """What the streams of the process that answers are told from."""

    position: int = Field(description="Up to where it has heard of events.")
    lag: int = Field(description="Events that it has not heard of yet.")


class VerificationHealth(Answer):
    """Samples that the process that answers has verified of this ledger, since it was started."""

    every: float | None = Field(description="Seconds between two samples, of all ledgers; null where none are taken.")
    executions: int
    mismatches: int = Field(description="Differences that were found, each time they were.")
    failures: int = Field(description="Samples of any ledger that could not be taken.")
    last_at: datetime | None = Field(description="When the last sample was taken; null where none was.")


class LedgerHealth(Answer):
    """How well a ledger is kept."""

    ledger: str
    size: int = Field(description="Events.")
    started_at: datetime = Field(description="When the process that answers was started.")
    writer: WriterHealth
    feed: FeedHealth
    verification: VerificationHealth
    projections: list[ProjectionLag]


class RootAnswer(Answer):
    """What a ledger of `size` events hashes to (RFC 9162, SHA-256)."""

    ledger: str
    size: int
    root: str = Field(pattern="^[0-9a-f]{64}$")


class SessionAnswer(Answer):
    """Who calls, and what they may."""

    auth: bool = Field(description="Whether callers need a key or a token.")
    actor: str | None = Field(description="Who is recorded with what they do.")
    ledger: str = Field(description="The ledger that they see.")
    scopes: list[str]
    expires_at: datetime | None = Field(description="When a session that was begun here ends.")


class Health(Answer):
    """The process is up."""

    status: str = Field(examples=["ok"])
