"""Run statistics: how runs ended, how long they took and waited, and why they failed."""

from .answers import EndedRun, FailureReason, Statistics
from .buckets import RELATIVE_ERROR
from .failure_reasons import failure_reason
from .projection import RunStatistics
from .queries import StatisticsQueries
from .sketch import Times
from .window import StatisticsFilters

__all__ = [
    "RELATIVE_ERROR",
    "EndedRun",
    "FailureReason",
    "RunStatistics",
    "Statistics",
    "StatisticsFilters",
    "StatisticsQueries",
    "Times",
    "failure_reason",
]
