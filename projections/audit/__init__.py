"""The audit of a ledger: one query over its events, its questions, and exports."""

from .changes import AuditedEvent, FieldChange
from .filters import TYPES, EventFilters, Filters
from .pages import EventPage
from .queries import AuditQueries, EventCount
from .runs import TouchedRun
from .scan import Found, Scan
from .text_index import TextIndex, create_text_index, drop_text_index
from .time_marks import TimeMarks, mark_times

__all__ = [
    "TYPES",
    "AuditQueries",
    "AuditedEvent",
    "EventCount",
    "EventFilters",
    "EventPage",
    "FieldChange",
    "Filters",
    "Found",
    "Scan",
    "TextIndex",
    "TimeMarks",
    "TouchedRun",
    "create_text_index",
    "drop_text_index",
    "mark_times",
]
