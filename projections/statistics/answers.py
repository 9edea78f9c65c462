"""What the statistics answer with."""

from __future__ import annotations

from datetime import datetime

import msgspec

from .sketch import Times


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """The runs that ended in a window, or in one group of it."""

    at: datetime | None = None
    """Begin of the hour or day, where grouped by it."""
    run_name: str | None = None
    """The name, where grouped by it; None for runs without one."""
    execution_type: str | None = None
    """The same of the type."""
    runs: int
    """How many ended."""
    outcomes: dict[str, int]
    """How many of them in each terminal status."""
    late: int
    """How many of them reported an outcome after they had been ended."""
    duration: Times
    """From start to end."""
    queue_time: Times
    """From creation to start."""

    @property
    def failure_rate(self) -> float | None:
        """The part of the runs that failed, 0 to 1; None without runs."""
        return self.outcomes["failed"] / self.runs if self.runs else None


class FailureReason(msgspec.Struct, frozen=True, kw_only=True):
    """Failures whose errors are alike."""

    reason: str | None
    """The first line of the error without its numbers, ids, times, paths and addresses; None where there was none."""
    runs: int
    last_at: datetime
    """When the last of them ended."""
    job_id: str | None
    """The last of them that is not deleted, if there is one."""


class EndedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run that ended."""

    job_id: str
    run_name: str | None
    execution_type: str | None
    outcome: str
    attempt: int
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime
    duration: float | None
    """Seconds from start to end, exact; None where it is unknown."""
    queue_time: float | None
    """Seconds from creation to start, exact; None where it is unknown."""
