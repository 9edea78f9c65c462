"""What query strings may hold: names, types and bounds; the rules of each filter are the query side's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from ...domain import FIELDS
from ...domain.limits import KEY_LENGTH
from ...projections.audit import TYPES
from ...projections.replay.queries import MAX_LIMIT
from ...projections.statistics.failure_reasons import MAX_LENGTH
from .schemas import Outcome, Status, Time, TraceId, one_of

MAX_PAGE = 1_000
"""Entries of the largest page over HTTP."""

EventType = Annotated[str, one_of(TYPES)]
FieldName = Annotated[str, one_of(FIELDS)]
Name = Annotated[str, Field(max_length=KEY_LENGTH)]
_VERSION = {"type": "string", "pattern": "^[0-9]{1,18}$"}
VersionOrTime = Annotated[str, WithJsonSchema({"anyOf": [_VERSION, {"type": "string", "format": "date-time"}]})]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExecutionsQuery(_Query):
    """Which executions; every given filter must hold."""

    id: int | None = Field(None, ge=1, le=2**63 - 1, description="The one with this number; without other filters.")
    limit: int = Field(100, ge=1, le=MAX_PAGE)
    offset: int = Field(0, ge=0, le=2**63 - 1, description="Skip so many; `total` is told then.")
    cursor: str | None = Field(
        None, description="`next_cursor` of the page before: costs the same at any depth, tells no `total`."
    )
    total: bool = Field(True, description="Whether to count the `total`, where the page is not asked for by cursor.")
    creators: bool = Field(False, description="Whether to tell who created each.")
    status: list[Status] | None = Field(None, description="One or several.", examples=[["failed", "rejected"]])
    as_of: Time | None = Field(None, description="The list as it was at this time.")
    created_from: Time | None = None
    created_before: Time | None = None
    ended_from: Time | None = Field(None, description="Only those that ended, at this time or later.")
    ended_before: Time | None = Field(None, description="Only those that ended, before this time.")
    run_name: list[Name] | None = Field(None, description="One or several; empty for those without one.")
    execution_type: list[Name] | None = Field(None, description="One or several; empty for those without one.")
    run_name_prefix: str | None = Field(None, max_length=KEY_LENGTH)
    job_id_prefix: str | None = Field(None, max_length=KEY_LENGTH)
    prefix: str | None = Field(None, max_length=KEY_LENGTH, description="Of the run's name or of its job id.")
    parent_job_id: str | None = Field(None, max_length=KEY_LENGTH)
    attributes: str | None = Field(
        None,
        description="A JSON object: executions whose attributes hold these plain values.",
        examples=['{"team":"finance"}'],
    )


class EventsQuery(_Query):
    """Which events; every given filter must hold."""

    limit: int = Field(100, ge=1, le=MAX_PAGE)
    order: Literal["newest", "oldest"] = Field("newest", description="Which come first.")
    after: int | None = Field(None, ge=0, le=2**63 - 1, description="Only positions above this one.")
    before: int | None = Field(None, ge=0, le=2**63 - 1, description="Only positions below this one.")
    actor: str | None = Field(None, max_length=KEY_LENGTH)
    type: list[EventType] | None = Field(None, description="One or several; `execution.` may be left out.")
    recorded_from: Time | None = None
    recorded_before: Time | None = None
    job_id: str | None = Field(None, max_length=KEY_LENGTH)
    correlation_id: str | None = Field(None, max_length=KEY_LENGTH)
    trace_id: TraceId | None = None


class CloudEventsQuery(EventsQuery):
    """The same, in the order in which they are followed."""

    order: Literal["newest", "oldest"] = Field("oldest", description="Which come first.")


class TimelineQuery(_Query):
    """Which part of a timeline."""

    limit: int = Field(MAX_PAGE, ge=1, le=MAX_PAGE)
    from_version: int = Field(1, ge=1, le=2**63 - 1, description="`next_version` of the page before.")


class SpansQuery(_Query):
    """Which part of the spans."""

    limit: int = Field(MAX_LIMIT, ge=1, le=MAX_LIMIT, description="Events that begin or end a span.")
    from_version: int = Field(
        1,
        ge=1,
        le=2**63 - 1,
        description="`next_version` of the page before, or its `version` plus one for what was added.",
    )
    steps: bool = Field(True, description="Whether to tell of the steps, too.")


Clock = Annotated[Literal["recorded", "occurred"], Field(description="By the ledger's clock, or the reporters'.")]


class MomentQuery(_Query):
    """Which moment of an execution; now, without any."""

    version: int | None = Field(None, ge=0, le=2**63 - 1, description="Right after this event of it.")
    as_of: Time | None = Field(None, description="As it was at this time.")
    by: Clock = "recorded"


class DiffQuery(_Query):
    """Which two moments: versions or times."""

    before: VersionOrTime = Field(examples=["1", "2026-01-31T08:00:00Z"])
    after: VersionOrTime | None = Field(None, description="Now, if left out.")
    by: Clock = "recorded"


class ExplainQuery(MomentQuery):
    """Which fields, at which moment."""

    field: FieldName | None = Field(None, description="Only this field.")


class CompareQuery(_Query):
    """Which other run."""

    other: str = Field(min_length=1, max_length=KEY_LENGTH, description="Its job id.")


class ReplayQuery(_Query):
    """How to play a run."""

    speed: float = Field(1, ge=0, le=1e6, description="How many times as fast as it happened; 0: as fast as possible.")
    from_version: int = Field(1, ge=1, le=2**63 - 1)
    to_version: int | None = Field(None, ge=1, le=2**63 - 1)
    by: Clock = "recorded"
    longest_wait: float | None = Field(None, gt=0, le=86_400, description="Cut longer silences to so many seconds.")


class AuditFilters(_Query):
    """Which events; every given filter must hold."""

    actor: str | None = Field(None, max_length=KEY_LENGTH)
    type: list[EventType] | None = Field(None, description="One or several; `execution.` may be left out.")
    job_id: str | None = Field(None, max_length=KEY_LENGTH)
    status: list[Status] | None = Field(None, description="Events by which an execution reached one of these.")
    recorded_from: Time | None = None
    recorded_before: Time | None = None
    occurred_from: Time | None = None
    occurred_before: Time | None = None
    correlation_id: str | None = Field(None, max_length=KEY_LENGTH)
    trace_id: TraceId | None = None
    changed_field: FieldName | None = Field(None, examples=["status"])
    text: str | None = Field(
        None,
        min_length=1,
        max_length=KEY_LENGTH,
        description="Part of a reason, an error, a message or a note.",
        json_schema_extra={"pattern": r"^[^\u001f]*$"},
    )
    after: int | None = Field(None, ge=0, le=2**63 - 1, description="Only positions above this one.")
    before: int | None = Field(None, ge=0, le=2**63 - 1, description="Only positions below this one.")


class AuditQuery(AuditFilters):
    """Which page of which events."""

    limit: int = Field(100, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, description="`next_cursor` or `previous_cursor` of another page.")
    order: Literal["newest", "oldest"] = Field("newest", description="Which come first.")


class ExportQuery(AuditFilters):
    """Which events, in which format."""

    format: Literal["jsonl", "csv", "parquet"] = "jsonl"


class TouchedQuery(_Query):
    """Which piece of work."""

    correlation_id: str = Field(min_length=1, max_length=KEY_LENGTH)
    limit: int = Field(100, ge=1, le=MAX_PAGE)


class LastChangeQuery(_Query):
    """Which field of which execution."""

    job_id: str = Field(min_length=1, max_length=KEY_LENGTH)
    field: FieldName = Field(examples=["status"])


class StreamQuery(_Query):
    """Which events to follow."""

    after: int | None = Field(
        None, ge=0, le=2**63 - 1, description="The last position seen; the next event, if left out. Last-Event-ID wins."
    )
    type: list[EventType] | None = Field(None, description="One or several stored types.")
    job_id: str | None = Field(None, max_length=KEY_LENGTH)


class DeadLettersQuery(_Query):
    """Which page of dead letters."""

    limit: int = Field(100, ge=1, le=MAX_PAGE)
    after: int = Field(0, ge=0, le=2**63 - 1, description="`next_after` of the page before.")


class WindowQuery(_Query):
    """Runs that ended in a window of whole hours; every given filter must hold."""

    ended_from: Time
    ended_before: Time
    limit: int = Field(100, ge=1, le=MAX_PAGE)
    run_name: list[str] | None = Field(None, description="One or several.")
    execution_type: list[str] | None = Field(None, description="One or several.")
    outcome: list[Outcome] | None = Field(None, description="One or several.")


class EndedRunsQuery(WindowQuery):
    """Which of them."""

    reason: str | None = Field(
        None, max_length=MAX_LENGTH, description="Only those that failed for this one, as `/failure-reasons` tells it."
    )


class StatisticsQuery(WindowQuery):
    """How to group them."""

    by: Literal["hour", "day", "run_name", "execution_type"] | None = Field(None, description="One group, if left out.")
    after: str | None = Field(None, max_length=KEY_LENGTH, description="The time or name of the last group seen.")


class RootQuery(_Query):
    """Which root."""

    size: int | None = Field(None, ge=0, le=2**63 - 1, description="At so many events; now, if left out.")
