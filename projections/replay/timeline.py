"""The timeline of one execution, page by page; a page carries what it needs from before and after it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, func, or_, select

from ...domain.status import TARGET_OF
from ...infrastructure.codec import decode_event
from ...infrastructure.entity import EXECUTIONS
from ...infrastructure.tables import execution_events, execution_snapshots, execution_steps
from ..recorded_event import RecordedEvent, select_events, to_recorded_event
from ..sources import ERASED
from .diff import Change, diff_rows
from .moments import Moment
from .spans import Gap, SpanBuilder, StatusSpan, StepSpan, set_end, silences, status_spans, uncovered
from .state import Resolved, Run, find_run, make_state, resolve
from .step_changes import read_pages

STATUS_TYPES = ("execution.created", "execution.corrected", *(f"execution.{name}" for name in TARGET_OF))
_RUNNING = ("running", "stopping")


class Timeline(msgspec.Struct, kw_only=True):
    """What happened in one execution. Each event and each span belongs to the page on which it begins."""

    job_id: str
    events: list[RecordedEvent]
    changes: dict[int, list[Change]]
    """What each event changed, by its version; nothing of those that set no field."""
    statuses: list[StatusSpan]
    """With their ends, also where those lie beyond the page."""
    steps: list[StepSpan]
    """The outermost ones of those that begin here, in order; their ends likewise, with error and event where those are
    here, too."""
    status_before: StatusSpan | None = None
    """The status in which the page begins."""
    steps_before: list[StepSpan] = []
    """Steps that began before the page and were open when it begins, by their own times."""
    steps_ended: list[StepSpan] = []
    """Steps that began before the page and ended on it."""
    gaps: list[Gap] = []
    next_version: int | None = None
    """Where the next page begins, None on the last one."""


def read_timeline(
    connection: Connection, ledger: str, job_id: str, from_version: int, limit: int, least_gap: float
) -> Timeline | None:
    """One page: the events from a version on; None where there never was such an execution."""
    # What is appended meanwhile is left to the next page.
    run = find_run(connection, ledger, job_id)
    if run is None:
        return None
    end = min(from_version + limit, run.last + 1)
    event = execution_events.c
    page = list(
        connection.execute(
            select_events(ledger)
            .where(event.execution_id == run.execution_id, event.version >= from_version, event.version < end)
            .order_by(event.version)
        )
    )
    timeline = Timeline(
        job_id=job_id,
        events=[to_recorded_event(row) for row in page],
        changes={},
        statuses=[],
        steps=[],
        next_version=end if end <= run.last else None,
    )
    if page:
        _Page(connection, ledger, run, timeline, page).fill(least_gap)
    return timeline


class _Page:
    """A page of stored events on its way to a timeline."""

    def __init__(self, connection: Connection, ledger: str, run: Run, timeline: Timeline, page: list[Any]) -> None:
        self._connection = connection
        self._ledger = ledger
        self._run = run
        self._timeline = timeline
        self._page = page
        self._payloads = [decode_event(row, EXECUTIONS.catalog).data for row in page]
        self._spans = SpanBuilder()

    def fill(self, least_gap: float) -> None:
        """Add all that is told beside the events themselves."""
        before = self._before()
        self._tell_changes(before)
        for row, payload in zip(self._page, self._payloads, strict=True):
            self._spans.add(row.version, _name(row), _at(row), payload)
        self._tell_statuses(before)
        self._tell_steps()
        self._tell_gaps(least_gap)

    def _before(self) -> Resolved:
        """What the execution was right before the page, as far as the page changes it."""
        columns = {"status"}.union(*(payload.changes() for payload in self._payloads))
        before = Moment(version=self._page[0].version - 1)
        return resolve(self._connection, self._ledger, self._run, before, columns)

    def _tell_changes(self, before: Resolved) -> None:
        known = dict(make_state(self._ledger, self._timeline.job_id, before).row or {})
        for event, payload in zip(self._page, self._payloads, strict=True):
            if changed := payload.changes():
                old = {name: known.get(name) for name in changed}
                self._timeline.changes[event.version] = diff_rows(old, changed).changes
                known |= changed

    def _tell_statuses(self, before: Resolved) -> None:
        timeline, spans = self._timeline, self._spans.statuses
        timeline.statuses = spans
        if before.found is not None:
            sources = before.found.sources
            since = sources.get("status", 1)
            # Later events may have changed it whose payload is erased, or of another schema version.
            doubted = any(version > since for name, version in sources.items() if name == ERASED or ":" in name)
            till = before.found.version if doubted else since
            version = execution_events.c.version
            for span in self._status_changes(version >= since, version <= till):
                timeline.status_before = span
        if timeline.status_before is not None and spans:
            timeline.status_before.finished_at = spans[0].started_at
        last = spans[-1] if spans else timeline.status_before
        if last is not None and timeline.next_version is not None:
            later = next(self._status_changes(execution_events.c.version >= timeline.next_version), None)
            last.finished_at = later.started_at if later else None

    def _status_changes(self, *conditions: Any) -> Iterator[StatusSpan]:
        for event in read_pages(self._connection, self._ledger, self._run.execution_id, STATUS_TYPES, *conditions):
            changes = decode_event(event, EXECUTIONS.catalog).data.changes()
            yield from status_spans(event.version, _name(event), _at(event), changes)

    def _tell_steps(self) -> None:
        timeline, spans = self._timeline, self._spans
        timeline.steps = spans.steps
        begin = min(_at(row) for row in self._page)
        step = execution_steps.c
        open_ones = [span.step_id for span in spans.by_id.values() if span.finished_at is None]
        for row in self._steps(step.step_id.in_(open_ones)) if open_ones and timeline.next_version else ():
            span = spans.by_id[row.step_id]
            span.finished_at, span.outcome = row.finished_at, row.outcome
        if self._page[0].version == 1:
            return
        ends = {end.step_id: end for end in spans.ends}
        for row in self._steps(step.step_id.in_(ends)) if ends else ():
            timeline.steps_ended.append(_step(row))
            set_end(timeline.steps_ended[-1], ends[row.step_id])
        lasting = or_(step.finished_at.is_(None), step.finished_at >= begin)
        timeline.steps_before = [
            _step(row) for row in self._steps(step.started_at <= begin, lasting) if row.step_id not in spans.by_id
        ]

    def _tell_gaps(self, least: float) -> None:
        timeline = self._timeline
        times = [_at(row) for row in self._page]
        heard = self._last_heard()
        begin = times[0] if heard is None else heard
        end = max(begin, *times)
        timeline.gaps = silences(times, heard, least)
        step = execution_steps.c
        # What was there before the page is told from where the page before it ended; what begins in the page from its
        # own begin, which a late event sets before that.
        before = [] if timeline.status_before is None else [(timeline.status_before, begin)]
        spans = [*before, *((span, span.started_at) for span in timeline.statuses)]
        running = [(since, span.finished_at) for span, since in spans if span.status in _RUNNING]
        if not running or not next(self._steps(limit=1), None):
            return
        begin = min(since for since, _ in running)
        lasting = or_(step.finished_at.is_(None), step.finished_at > begin)
        steps = [(row.started_at, row.finished_at) for row in self._steps(step.started_at < end, lasting)]
        timeline.gaps += (gap for gap in uncovered(running, steps, end) if (gap.seconds or 0) > least)

    def _last_heard(self) -> datetime | None:
        """The latest time of an event before the page."""
        snapshot, event, first = execution_snapshots.c, execution_events.c, self._page[0].version
        base = self._connection.execute(
            select(snapshot.version, snapshot.latest_at)
            .where(snapshot.ledger_id == self._ledger, snapshot.execution_id == self._run.execution_id)
            .where(snapshot.version < first)
            .order_by(snapshot.version.desc())
            .limit(1)
        ).one_or_none()
        at = func.max(func.coalesce(event.occurred_at, event.recorded_at))
        since = self._connection.execute(
            select(at)
            .where(event.ledger_id == self._ledger, event.execution_id == self._run.execution_id, event.version < first)
            .where(event.version > (base.version if base else 0))
        ).scalar()
        return max(filter(None, (since, base.latest_at if base else None)), default=None)

    def _steps(self, *conditions: Any, limit: int | None = None) -> Iterator[Any]:
        step = execution_steps.c
        statement = (
            select(execution_steps)
            .where(step.ledger_id == self._ledger, step.execution_id == self._run.execution_id, *conditions)
            .order_by(step.started_at, step.step_id)
            .limit(limit)
        )
        return iter(self._connection.execute(statement))


def _step(row: Any) -> StepSpan:
    return StepSpan(
        step_id=row.step_id,
        name=row.name,
        kind=row.kind,
        parent_step_id=row.parent_step_id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        outcome=row.outcome,
        steps=[],
    )


def _name(row: Any) -> str:
    return row.type.partition(".")[2]


def _at(row: Any) -> datetime:
    return row.occurred_at or row.recorded_at
