"""Errors of one kind get one reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_ledger.projections.statistics import failure_reason
from execution_ledger.projections.statistics.failure_reasons import MAX_LENGTH


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, ""),
        ("", ""),
        (" \n\t ", ""),
        ("Disk full", "Disk full"),
        ("\n  Disk   full \r\nsecond line", "Disk full"),
        ("timed out after 30.5 s (attempt 3)", "timed out after <n> s (attempt <n>)"),
        ("worker7 is gone", "worker<n> is gone"),
        ("no run 8f14e45f-ceea-467f-a0e6-0f2d3c4b5a69", "no run <id>"),
        ("object at 0x7F3aB0, commit 1e07edb", "object at <hex>, commit <hex>"),
        ("cannot open /var/lib/jobs/17/out.csv: denied", "cannot open <path>: denied"),
        (r"cannot open C:\jobs\17\out.csv", "cannot open <path>"),
        ("GET https://host.example/a/1?b=2 gave 503", "GET <url> gave <n>"),
        ("lost 10.0.0.7:5432 at 2026-03-01T12:00:00.5Z", "lost <n> at <time>"),
        ("and/or, 50 %", "and/or, <n> %"),
        ("facade deadbeef defaced", "facade deadbeef defaced"),
        (
            'Traceback (most recent call last):\n  File "/a/b.py", line 7, in f\nValueError: no 12\n',
            "ValueError: no <n>",
        ),
    ],
)
def test_what_varies_from_run_to_run_is_blotted_out(error: str | None, reason: str) -> None:
    assert failure_reason(error) == reason


def test_a_long_error_gives_a_short_reason() -> None:
    reason = failure_reason("word " * 100_000)
    assert len(reason) <= MAX_LENGTH
    assert reason.endswith("word…")


@given(st.text(max_size=500))
def test_any_text_gives_one_bounded_line(error: str) -> None:
    reason = failure_reason(error)
    assert len(reason) <= MAX_LENGTH
    assert len(reason.splitlines()) <= 1
    assert not any(digit in reason for digit in "0123456789")
