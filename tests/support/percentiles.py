"""Percentiles by their definition, to hold estimates against."""

from __future__ import annotations

import math
from collections.abc import Sequence

from execution_ledger.projections import Times
from execution_ledger.projections.statistics import RELATIVE_ERROR


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """The smallest of these that at least so many percent of them do not exceed."""
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def assert_summarizes(times: Times, measured: Sequence[int]) -> None:
    """That times (in seconds) tell of these lengths (in microseconds) within the stated error."""
    assert times.runs == len(measured)
    if not measured:
        assert times == Times(runs=0)
        return
    ordered = sorted(measured)
    for percent in (50, 90, 95, 99):
        assert _is_close(getattr(times, f"p{percent}"), nearest_rank(ordered, percent) / 10**6), percent
    assert _is_close(times.min, ordered[0] / 10**6)
    assert _is_close(times.max, ordered[-1] / 10**6)
    assert _is_close(times.mean, sum(ordered) / len(ordered) / 10**6)


def _is_close(estimate: float | None, seconds: float) -> bool:
    return estimate is not None and abs(estimate - seconds) <= RELATIVE_ERROR * seconds + 1e-12
