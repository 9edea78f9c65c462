"""Read models and the questions they answer."""

from .audit import (
    AuditedEvent,
    AuditQueries,
    Change,
    EventCount,
    EventFilters,
    EventPage,
    TextIndex,
    TimeMarks,
    TouchedRun,
    create_text_index,
    drop_text_index,
    mark_times,
)
from .ledger_names import ledger_names
from .ledger_queries import LedgerQueries, LedgerSummary
from .recorded_event import RecordedEvent
from .snapshots import ExecutionSnapshots
from .states import states_at
from .timeline import StatusSpan, StepSpan, Timeline, make_timeline

__all__ = [
    "AuditQueries",
    "AuditedEvent",
    "Change",
    "EventCount",
    "EventFilters",
    "EventPage",
    "ExecutionSnapshots",
    "LedgerQueries",
    "LedgerSummary",
    "RecordedEvent",
    "StatusSpan",
    "StepSpan",
    "TextIndex",
    "TimeMarks",
    "Timeline",
    "TouchedRun",
    "create_text_index",
    "drop_text_index",
    "ledger_names",
    "make_timeline",
    "mark_times",
    "states_at",
]
