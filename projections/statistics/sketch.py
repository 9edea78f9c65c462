"""Sketches: how many lengths are in each bucket. Those of two sets, added, are that of both."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from .buckets import bucket

_MICROSECONDS = 1_000_000


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Lengths of time in seconds, each within 1 % of the true one (`RELATIVE_ERROR`); None where nothing was measured.

    Percentiles are nearest-rank: p95 is the shortest length that at least 95 % of the runs do not exceed.
    """

    runs: int
    """How many were measured."""
    min: float | None = None
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


def summarize(sketch: Mapping[int, int]) -> Times:
    """What a sketch (keys of buckets to counts) tells."""
    runs = sum(sketch.values())
    if not runs:
        return Times(runs=0)
    keys = sorted(sketch)
    ranks = {"p50": _rank(50, runs), "p90": _rank(90, runs), "p95": _rank(95, runs), "p99": _rank(99, runs)}
    found: dict[str, float] = {}
    seen = 0
    for key in keys:
        seen += sketch[key]
        for name, rank in ranks.items():
            if seen >= rank and name not in found:
                found[name] = _seconds(key)
    mean = math.fsum(_seconds(key) * count for key, count in sketch.items()) / runs
    return Times(runs=runs, min=_seconds(keys[0]), mean=mean, max=_seconds(keys[-1]), **found)


def _rank(percent: int, runs: int) -> int:
    return -(-percent * runs // 100)


def _seconds(key: int) -> float:
    return bucket(key).estimate / _MICROSECONDS
