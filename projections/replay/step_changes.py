"""Steps that began or ended between two moments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Connection, select

from ...domain import StepFinish, StepStart
from ...infrastructure.codec import decode_event
from ...infrastructure.entity import EXECUTIONS
from ...infrastructure.tables import execution_events
from ..states import EVENT_COLUMNS

STEP_TYPES = ("execution.step_started", "execution.step_finished")
_PAGE = 100


class StepChange(msgspec.Struct, frozen=True, kw_only=True):
    """A step began or ended."""

    kind: Literal["began", "ended"]
    version: int
    at: datetime | None
    """When, as the event says; None where its payload was erased."""
    step_id: str | None
    """None where the payload was erased."""
    name: str | None = None
    """Of a step that began."""
    outcome: str | None = None
    """Of a step that ended."""
    error: str | None = None


def step_changes(
    connection: Connection, ledger: str, execution_id: UUID, *conditions: ColumnElement[bool]
) -> Iterator[StepChange]:
    """The steps that began and ended in the events that meet the conditions, in order, read page by page."""
    for event in read_pages(connection, ledger, execution_id, STEP_TYPES, *conditions):
        payload = decode_event(event, EXECUTIONS.catalog).data
        match payload:
            case StepStart():
                yield StepChange(
                    kind="began",
                    version=event.version,
                    at=payload.started_at,
                    step_id=payload.step_id,
                    name=payload.name,
                )
            case StepFinish():
                yield StepChange(
                    kind="ended",
                    version=event.version,
                    at=payload.finished_at,
                    step_id=payload.step_id,
                    outcome=payload.outcome,
                    error=payload.error,
                )
            case _:
                began = event.type == STEP_TYPES[0]
                yield StepChange(kind="began" if began else "ended", version=event.version, at=None, step_id=None)


def read_pages(
    connection: Connection, ledger: str, execution_id: UUID, types: tuple[str, ...], *conditions: ColumnElement[bool]
) -> Iterator[Any]:
    """Stored events of an execution by version, a page at a time."""
    event = execution_events.c
    statement = (
        select(*(event[name] for name in EVENT_COLUMNS))
        .where(event.ledger_id == ledger, event.execution_id == execution_id, event.type.in_(types), *conditions)
        .order_by(event.version)
        .limit(_PAGE)
    )
    rows = connection.execute(statement).all()
    while rows:
        yield from rows
        rows = connection.execute(statement.where(event.version > rows[-1].version)).all()
