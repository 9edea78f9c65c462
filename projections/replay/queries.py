"""Questions about how executions were: at a version, at an instant, between two of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, func
from sqlalchemy.ext.asyncio import AsyncSession

from ...domain import InvalidInput, check_ledger
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_int, check_seconds, check_text, check_time, shown
from ...infrastructure.database_errors import translated
from ...infrastructure.entity import EXECUTIONS
from ...infrastructure.execution_repository import HistoryPage
from ...infrastructure.history_query import Cursor
from ...infrastructure.tables import execution_events
from ..engine.fresh import Freshness, wait_until_fresh
from .compare import Comparison, compare_runs
from .diff import RowDiff, diff_rows
from .explain import Explanation, explain
from .history_at import history_at
from .moments import Clock, Moment, check_clock
from .run_spans import Spans, read_spans
from .state import State, find_run, make_state, resolve
from .step_changes import StepChange, step_changes
from .timeline import Timeline, read_timeline

_T = TypeVar("_T")

MAX_LIMIT = 10_000
"""Largest page."""

Instant = datetime | str
"""A datetime (naive means UTC) or ISO 8601 text."""


class Diff(RowDiff, frozen=True, kw_only=True):
    """What happened to an execution between two moments."""

    job_id: str
    from_version: int
    to_version: int
    steps: list[StepChange]
    """Steps that began or ended in between."""


class ReplayQueries:
    """Executions as they were, on a session of the caller's. Nothing here writes.

    Answers tell of what was appended; what a repository with `commit=False` still holds back needs its `flush()` first.
    """

    def __init__(
        self, session: AsyncSession, *, ledger: str = "default", min_position: int | None = None, wait: float = 5.0
    ) -> None:
        """With `min_position` answers know of that position; they wait for it, `wait` seconds at most."""
        self.session = session
        self.ledger = check_ledger(ledger)
        self._freshness = Freshness.of(min_position, wait)

    async def state_at(
        self, job_id: str, *, version: int | None = None, as_of: Instant | None = None, by: Clock = "recorded"
    ) -> State | None:
        """The execution right after a version, or as of an instant by one of its clocks; now, without either.

        None where there never was such an execution. As of a time by `recorded`: what the ledger knew then. By
        `occurred`: what it knows today to have happened by then, in the order in which it was recorded.
        """
        key, moment = _key(job_id), Moment.of(version, as_of, by)
        return await self._read(lambda connection: self._state(connection, key, moment))

    async def history_at(
        self, as_of: Instant, limit: int = 100, cursor: str | None = None, *, status: Any = None
    ) -> HistoryPage:
        """A page of the history as it was at an instant, by the ledger's clock, ordered as `get_execution_page`.

        `status` narrows it to one or several statuses at that time. A page costs about what was recorded since, and
        never more than one narrow row of each execution.
        """
        instant, limit = check_time(as_of, "as_of"), check_int(limit, "limit", 1, MAX_LIMIT)
        after = None if cursor is None else Cursor.decode(cursor)
        return await self._read(lambda connection: history_at(connection, self.ledger, instant, limit, after, status))

    async def diff(
        self, job_id: str, before: int | Instant, after: int | Instant | None = None, *, by: Clock = "recorded"
    ) -> Diff | None:
        """What changed between two versions or instants; up to now, without the second.

        `apply_diff(older.row, diff) == newer.row`. None where there never was such an execution.
        """
        key = _key(job_id)
        older, newer = _moment(before, "before", by), _moment(after, "after", by)
        return await self._read(lambda connection: self._diff(connection, key, older, newer))

    async def explain(
        self,
        job_id: str,
        field: str | None = None,
        *,
        version: int | None = None,
        as_of: Instant | None = None,
        by: Clock = "recorded",
    ) -> dict[str, Explanation] | None:
        """Who set each value, when and why, or only that of one `field`; a field that was never set is left out.

        Costs as much as the state, however long the run. None where there never was such an execution.
        """
        key, moment = _key(job_id), Moment.of(version, as_of, by)
        if field is not None and field not in EXECUTIONS.table.c:
            names = ", ".join(EXECUTIONS.table.c.keys())
            raise InvalidInput(field="field", problem=f"{shown(field)} is no field", remedy=f"Use: {names}.")

        def read(connection: Connection) -> dict[str, Explanation] | None:
            run = find_run(connection, self.ledger, key)
            if run is None:
                return None
            found = explain(self.ledger, resolve(connection, self.ledger, run, moment))
            return {name: each for name, each in found.items() if field in (None, name)}

        return await self._read(read)

    async def compare(self, left: str, right: str) -> Comparison:
        """Two runs side by side, step by step, with the first divergence. `UnknownExecution` where one never was."""
        keys = _key(left, "left"), _key(right, "right")
        return await self._read(lambda connection: compare_runs(connection, self.ledger, *keys))

    async def timeline(
        self, job_id: str, *, limit: int = 1_000, from_version: int = 1, least_gap: float = 60.0
    ) -> Timeline | None:
        """A page of what happened in an execution, deleted ones included; None where there never was one.

        Page on with `from_version=` its `next_version`: each page costs what it holds, wherever in the run it is.
        Gaps of more than `least_gap` seconds are told.
        """
        key = _key(job_id)
        limit, from_version = check_int(limit, "limit", 1, MAX_LIMIT), check_int(from_version, "from_version", 1)
        least = check_seconds(least_gap, "least_gap")
        return await self._read(
            lambda connection: read_timeline(connection, self.ledger, key, from_version, limit, least)
        )

    async def spans(
        self, job_id: str, *, limit: int = MAX_LIMIT, from_version: int = 1, steps: bool = True
    ) -> Spans | None:
        """A page of the statuses and steps of a run, deleted ones included; None where there never was one.

        It is made of the first `limit` events that begin or end one; `steps=False` leaves the steps out. Page on with
        `from_version=` its `next_version`, or read what was added since from its `version` plus one on: each page costs
        what it holds, and `extend` adds it to those before.
        """
        key = _key(job_id)
        limit, begin = check_int(limit, "limit", 1, MAX_LIMIT), check_int(from_version, "from_version", 1)
        return await self._read(lambda connection: read_spans(connection, self.ledger, key, begin, limit, steps=steps))

    async def _read(self, read: Callable[[Connection], _T]) -> _T:
        await wait_until_fresh(self.session, self.ledger, self._freshness)
        with translated():
            return await self.session.run_sync(lambda session: read(session.connection()))

    def _state(self, connection: Connection, job_id: str, moment: Moment) -> State | None:
        run = find_run(connection, self.ledger, job_id)
        return None if run is None else make_state(self.ledger, job_id, resolve(connection, self.ledger, run, moment))

    def _diff(self, connection: Connection, job_id: str, older: Moment, newer: Moment) -> Diff | None:
        before, after = self._state(connection, job_id, older), self._state(connection, job_id, newer)
        if before is None or after is None:
            return None
        event = execution_events.c
        if newer.by == "occurred":
            at = func.coalesce(event.occurred_at, event.recorded_at)
            assert older.instant is not None, "by that clock, there are only instants"
            backwards = newer.instant is not None and older.instant > newer.instant
            between = [at > older.instant, at <= newer.instant if newer.instant else event.version <= after.version]
        else:
            backwards = before.version > after.version
            between = [event.version > before.version, event.version <= after.version]
        if backwards:
            raise InvalidInput(field="before", problem="is later than the other", remedy="Send the earlier one first.")
        steps = step_changes(connection, self.ledger, before.execution_id, *between)
        return Diff(
            job_id=job_id,
            from_version=before.version,
            to_version=after.version,
            steps=list(steps),
            **msgspec.structs.asdict(diff_rows(before.row, after.row)),
        )


def _key(job_id: Any, name: str = "job_id") -> str:
    return check_text(job_id, name, KEY_LENGTH)


def _moment(value: Any, name: str, by: Any) -> Moment:
    check_clock(by)
    if value is None:
        return Moment(by=by)
    if not isinstance(value, int):
        return Moment(instant=check_time(value, name), by=by)
    if by == "occurred":
        raise InvalidInput(field=name, problem="is a version", remedy="Versions count in the order of recording.")
    return Moment(version=check_int(value, name, 0))
