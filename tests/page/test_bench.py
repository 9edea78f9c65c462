"""The benchmark of the page runs and tells all it should. How fast anything is, is no matter of a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak
ROOT = Path(__file__).parents[2]


def test_it_measures_and_reports_everything(tmp_path: Path) -> None:
    report = tmp_path / "PAGE.md"
    command = [sys.executable, "-m", "benchmarks.page", "--quick", "--output", str(report)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=240, capture_output=True)
    told = report.read_text(encoding="utf-8")
    of_runs = ("60 runs | first rows", "60 runs | search", "60 runs | lanes, a frame")
    for what in (*of_runs, "30 events | slider step", "20 steps | whole timeline", "20 steps | timeline, a frame"):
        assert f"{what} | **" in told, told
    assert "| Browser | Chromium " in told
