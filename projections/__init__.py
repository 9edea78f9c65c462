"""Read models and the questions they answer."""

from .event_query import EventFilters
from .ledger_names import ledger_names
from .ledger_queries import LedgerQueries, LedgerSummary
from .recorded_event import RecordedEvent
from .replay import (
    Change,
    Diff,
    Explanation,
    Gap,
    ReplayQueries,
    RowDiff,
    Span,
    Spans,
    State,
    StatusSpan,
    StepChange,
    StepSpan,
    Timeline,
    apply_diff,
    diff_rows,
    time_in_statuses,
)
from .snapshots import ExecutionSnapshots
from .states import states_at

__all__ = [
    "Change",
    "Diff",
    "EventFilters",
    "ExecutionSnapshots",
    "Explanation",
    "Gap",
    "LedgerQueries",
    "LedgerSummary",
    "RecordedEvent",
    "ReplayQueries",
    "RowDiff",
    "Span",
    "Spans",
    "State",
    "StatusSpan",
    "StepChange",
    "StepSpan",
    "Timeline",
    "apply_diff",
    "diff_rows",
    "ledger_names",
    "states_at",
    "time_in_statuses",
]
