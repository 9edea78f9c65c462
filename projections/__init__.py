"""Read models and the questions they answer."""

from .event_query import EventFilters
from .ledger_names import ledger_names
from .ledger_queries import LedgerQueries, LedgerSummary
from .recorded_event import RecordedEvent
from .statistics import (
    EndedRun,
    FailureReason,
    RunStatistics,
    Statistics,
    StatisticsFilters,
    StatisticsQueries,
    Times,
)
from .timeline import StatusSpan, StepSpan, Timeline, make_timeline

__all__ = [
    "EndedRun",
    "EventFilters",
    "FailureReason",
    "LedgerQueries",
    "LedgerSummary",
    "RecordedEvent",
    "RunStatistics",
    "Statistics",
    "StatisticsFilters",
    "StatisticsQueries",
    "StatusSpan",
    "StepSpan",
    "Timeline",
    "Times",
    "ledger_names",
    "make_timeline",
]
