"""Read models and the questions they answer."""

from .event_query import EventFilters
from .ledger_names import ledger_names
from .ledger_queries import LedgerQueries, LedgerSummary
from .recorded_event import RecordedEvent
from .snapshots import ExecutionSnapshots
from .states import states_at
from .timeline import StatusSpan, StepSpan, Timeline, make_timeline

__all__ = [
    "EventFilters",
    "ExecutionSnapshots",
    "LedgerQueries",
    "LedgerSummary",
    "RecordedEvent",
    "StatusSpan",
    "StepSpan",
    "Timeline",
    "ledger_names",
    "make_timeline",
    "states_at",
]
