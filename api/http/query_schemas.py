"""What query strings may hold: names, types and bounds; the rules of each filter are the query side's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...domain.limits import KEY_LENGTH
from ...projections.audit import TYPES
from .schemas import Status, Time, one_of

MAX_PAGE = 1_000
"""Entries of the largest page over HTTP."""

EventType = Annotated[str, one_of(TYPES)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExecutionsQuery(_Query):
    """Which executions; every given filter must hold."""

    limit: int = Field(100, ge=1, le=MAX_PAGE)
    offset: int = Field(0, ge=0, le=2**63 - 1, description="Skip so many; `total` is told then.")
    cursor: str | None = Field(
        None, description="`next_cursor` of the page before: costs the same at any depth, tells no `total`."
    )
    status: list[Status] | None = Field(None, description="One or several.", examples=[["failed", "rejected"]])
    created_from: Time | None = None
    created_before: Time | None = None
    run_name_prefix: str | None = Field(None, max_length=KEY_LENGTH)
    job_id_prefix: str | None = Field(None, max_length=KEY_LENGTH)
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
    trace_id: str | None = Field(None, pattern="^[0-9a-f]{32}$")


class TimelineQuery(_Query):
    """Which part of a timeline."""

    limit: int = Field(MAX_PAGE, ge=1, le=MAX_PAGE)
    from_version: int = Field(1, ge=1, le=2**63 - 1, description="`next_version` of the page before.")


class RootQuery(_Query):
    """Which root."""

    size: int | None = Field(None, ge=0, le=2**63 - 1, description="At so many events; now, if left out.")
