"""Neither a clock that stands still nor one that is set back makes time seem shorter than it was."""

from __future__ import annotations

import time

import pytest

from execution_ledger.infrastructure.stopwatch import Stopwatch


@pytest.mark.parametrize(("monotonic", "wall"), [(10, 10), (0, 10), (10, 0), (10, -3_600)])
def test_it_goes_by_the_clock_that_runs_ahead(monkeypatch: pytest.MonkeyPatch, monotonic: float, wall: float) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    watch = Stopwatch()
    assert watch.seconds == 0
    monkeypatch.setattr(time, "monotonic", lambda: 100.0 + monotonic)
    monkeypatch.setattr(time, "time", lambda: 1_000.0 + wall)
    assert watch.seconds == 10
