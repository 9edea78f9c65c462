"""What each filter says of a row, in the SQL of either database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from sqlalchemy import ColumnElement, and_, false, literal_column, or_, text

from ...domain import EXECUTION_CATALOG, FIELDS, ExecutionStatus, stream_id
from ...domain.details import Details
from ...domain.status import TARGET_OF
from ...infrastructure.tables import STATUS_IN_DATA, execution_events, status_told
from .filters import Filters
from .text_index import matches
from .time_marks import happened_at

event = execution_events.c

BY_DATA = ("execution.created", "execution.corrected")
"""Events that may set any status."""
_DETAILS = frozenset(each.TOPIC for each in EXECUTION_CATALOG if each.payload is Details)


def conditions(ledger: str, filters: Filters, dialect: str) -> Iterator[ColumnElement[bool]]:
    """All that must hold of a row beside its ledger and its position."""
    for name in ("actor", "correlation_id", "trace_id"):
        if (value := getattr(filters, name)) is not None:
            yield event[name] == value
    if filters.job_id is not None:
        yield event.execution_id == stream_id(ledger, filters.job_id)
    if (types := possible_types(filters)) is not None:
        yield event.type.in_(types) if types else false()
    if filters.status is not None:
        yield or_(
            event.type.in_(reaching(filters.status)),
            and_(event.type.in_(BY_DATA), status_in_data(dialect).in_(filters.status)),
        )
    if filters.changed_field is not None:
        yield _sets(filters.changed_field, dialect)
    if filters.recorded_from is not None:
        yield event.recorded_at >= filters.recorded_from
    if filters.recorded_before is not None:
        yield event.recorded_at < filters.recorded_before
    if filters.occurred_from is not None:
        yield happened_at() >= filters.occurred_from
    if filters.occurred_before is not None:
        yield happened_at() < filters.occurred_before
    if filters.text is not None:
        yield matches(filters.text, dialect)


def possible_types(filters: Filters) -> tuple[str, ...] | None:
    """The types that can pass; None where all can. Those of a status and of a field are told by the catalog."""
    possible: set[str] | None = None
    for types in _types_told(filters):
        possible = set(types) if possible is None else possible & set(types)
    return None if possible is None else tuple(sorted(possible))


def _types_told(filters: Filters) -> Iterator[tuple[str, ...]]:
    if filters.type is not None:
        yield filters.type
    if filters.status is not None:
        yield (*reaching(filters.status), *BY_DATA)
    if filters.changed_field is not None:
        yield setting(filters.changed_field)


def reaching(statuses: tuple[str, ...]) -> tuple[str, ...]:
    """The types by which alone a run reaches one of these statuses."""
    return tuple(f"execution.{name}" for name, target in TARGET_OF.items() if target in statuses)


@lru_cache
def setting(field: str) -> tuple[str, ...]:
    """The types that can set a field."""
    types = set(_DETAILS) - {"execution.late_outcome"}
    if field == "late_outcome":
        return ("execution.late_outcome",)
    if not FIELDS[field].update:
        return ("execution.created",)
    if field not in ("progress", "message"):
        types.discard("execution.progressed")
    if field == "status":
        types.discard("execution.details_changed")
    return tuple(sorted(types))


def status_in_data(dialect: str) -> ColumnElement[str]:
    """The status that a payload sets, as the index has it."""
    return literal_column(f"({STATUS_IN_DATA[dialect]})", event.type.type)


def told_by_data(status: str, dialect: str) -> ColumnElement[bool]:
    """What finds a status but `pending` that payloads tell, in its partial index."""
    # Literals, since a plan made without the values could not use a partial index.
    in_data = STATUS_IN_DATA[dialect]
    return and_(text(status_told(in_data)), text(f"({in_data}) = '{ExecutionStatus(status).value}'"))


def _sets(field: str, dialect: str) -> ColumnElement[bool]:
    # A field that is set to null is set, too.
    name = field if field in FIELDS else ""
    if dialect == "sqlite":
        return literal_column(f"json_type(execution_events.data, '$.{name}')").is_not(None)
    return literal_column(f"(execution_events.data::json -> '{name}')").is_not(None)
