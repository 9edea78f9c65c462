"""Executions as they were: states, differences, explanations, timelines, comparisons, and runs played again."""

from .compare import Comparison, Divergence, RunStep, StepPair
from .diff import Change, RowDiff, apply_diff, diff_rows
from .explain import Explanation
from .moments import Clock
from .pacing import MonotonicClock, PlayClock
from .player import Player, play_ledger, play_run
from .queries import Diff, ReplayQueries
from .reels import Frame
from .run_spans import Spans
from .spans import Gap, Span, StatusSpan, StepEnd, StepSpan, time_in_statuses
from .state import State
from .step_changes import StepChange
from .timeline import Timeline

__all__ = [
    "Change",
    "Clock",
    "Comparison",
    "Diff",
    "Divergence",
    "Explanation",
    "Frame",
    "Gap",
    "MonotonicClock",
    "PlayClock",
    "Player",
    "ReplayQueries",
    "RowDiff",
    "RunStep",
    "Span",
    "Spans",
    "State",
    "StatusSpan",
    "StepChange",
    "StepEnd",
    "StepPair",
    "StepSpan",
    "Timeline",
    "apply_diff",
    "diff_rows",
    "play_ledger",
    "play_run",
    "time_in_statuses",
]
