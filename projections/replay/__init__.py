"""Executions as they were: states, differences, explanations, timelines, comparisons, and runs played again."""

from .diff import Change, RowDiff, apply_diff, diff_rows
from .explain import Explanation
from .moments import Clock
from .queries import Diff, ReplayQueries
from .spans import Gap, Span, StatusSpan, StepSpan, time_in_statuses
from .state import State
from .step_changes import StepChange
from .timeline import Spans, Timeline

__all__ = [
    "Change",
    "Clock",
    "Diff",
    "Explanation",
    "Gap",
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
    "time_in_statuses",
]
