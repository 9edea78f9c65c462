"""The questions to the statistics."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import Row, Select
from sqlalchemy.ext.asyncio import AsyncSession

from ...domain import check_ledger
from ...domain.values import check_int, check_text
from ...infrastructure.database_errors import translated
from ..engine.fresh import Freshness, wait_until_fresh
from .answers import EndedRun, FailureReason, Statistics
from .failure_reasons import MAX_LENGTH
from .projection import RunStatistics
from .reading import (
    By,
    check_after,
    check_by,
    select_groups,
    select_longest,
    select_most_failing,
    select_most_retried,
    select_reasons,
    to_reason,
    to_run,
    to_statistics,
)
from .window import StatisticsFilters, Window

MAX_LIMIT = 1_000
"""Most groups or runs of an answer."""

Instant = datetime | str
"""A datetime (naive means UTC) or ISO 8601 text."""


class StatisticsQueries:
    """How the runs of one ledger ended, on a session of the caller's. Nothing here writes.

    Every question takes a window: runs that ended from `ended_from` on and before `ended_before`, in whole hours of
    UTC, so that an hour that the window holds a part of is in it. Answers tell of what the projection `run_statistics`
    has had. How many runs are in each status now is on the head: `LedgerQueries.summary`.
    """

    def __init__(
        self, session: AsyncSession, *, ledger: str = "default", min_position: int | None = None, wait: float = 5.0
    ) -> None:
        """With `min_position` answers wait until the projection has had that position, `wait` seconds at most."""
        self.session = session
        self.ledger = check_ledger(ledger)
        self._freshness = Freshness.of(min_position, wait)

    async def statistics(
        self,
        ended_from: Instant,
        ended_before: Instant,
        *,
        by: By | None = None,
        after: Instant | None = None,
        limit: int = 100,
        **filters: Unpack[StatisticsFilters],
    ) -> list[Statistics]:
        """Counts by outcome, and percentiles of durations and queue times.

        Without `by`: one answer, of all. With it: one for each hour, day (UTC), run name or type that has runs, in
        this order; page on with `after=` the last one seen (its time, or its name, "" for none).
        """
        by = check_by(by)
        window, limit = self._window(ended_from, ended_before, filters), _check_limit(limit)
        rows = await self._read(select_groups(window, by, limit, after=check_after(after, by)))
        return [to_statistics(row, by) for row in rows]

    async def most_failing(
        self, ended_from: Instant, ended_before: Instant, *, limit: int = 10, **filters: Unpack[StatisticsFilters]
    ) -> list[Statistics]:
        """The run names with the most failed runs, that with the most first."""
        window = self._window(ended_from, ended_before, filters)
        rows = await self._read(select_most_failing(window, _check_limit(limit)))
        return [to_statistics(row, "run_name") for row in rows]

    async def failure_reasons(
        self, ended_from: Instant, ended_before: Instant, *, limit: int = 10, **filters: Unpack[StatisticsFilters]
    ) -> list[FailureReason]:
        """Why runs failed, the commonest reason first. Reads each failed run of the window."""
        window = self._window(ended_from, ended_before, filters)
        return [to_reason(row) for row in await self._read(select_reasons(window, _check_limit(limit)))]

    async def longest_runs(
        self,
        ended_from: Instant,
        ended_before: Instant,
        *,
        limit: int = 10,
        reason: str | None = None,
        **filters: Unpack[StatisticsFilters],
    ) -> list[EndedRun]:
        """The runs that took longest, the longest first; deleted ones are not shown. Reads each run of the window.

        With `reason`, as `failure_reasons` tells it ("" for none): the runs that failed for it.
        """
        window = self._window(ended_from, ended_before, filters)
        if reason is not None:
            reason = check_text(reason, "reason", MAX_LENGTH)
        return [to_run(row) for row in await self._read(select_longest(window, _check_limit(limit), reason))]

    async def most_retried(
        self, ended_from: Instant, ended_before: Instant, *, limit: int = 10, **filters: Unpack[StatisticsFilters]
    ) -> list[EndedRun]:
        """The runs with the highest attempts above 1; deleted ones are not shown. Reads each run of the window."""
        window = self._window(ended_from, ended_before, filters)
        return [to_run(row) for row in await self._read(select_most_retried(window, _check_limit(limit)))]

    def _window(self, ended_from: Instant, ended_before: Instant, filters: StatisticsFilters) -> Window:
        return Window.of(self.ledger, ended_from, ended_before, filters)

    async def _read(self, statement: Select[Any]) -> Iterable[Row[Any]]:
        await wait_until_fresh(self.session, self.ledger, self._freshness, RunStatistics.name)
        with translated():
            return (await self.session.execute(statement)).all()


def _check_limit(limit: Any) -> int:
    return check_int(limit, "limit", 1, MAX_LIMIT)
