"""Executions as they were: states, differences, explanations, timelines, comparisons, and runs played again."""

from .diff import Change, RowDiff, apply_diff, diff_rows
from .explain import Explanation
from .moments import Clock
from .queries import Diff, ReplayQueries
from .state import State
from .step_changes import StepChange

__all__ = [
    "Change",
    "Clock",
    "Diff",
    "Explanation",
    "ReplayQueries",
    "RowDiff",
    "State",
    "StepChange",
    "apply_diff",
    "diff_rows",
]
