"""The statuses and steps of a run, page by page: what a chart of it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec
from sqlalchemy import Connection, select

from ...infrastructure.codec import decode_event
from ...infrastructure.entity import EXECUTIONS
from ...infrastructure.tables import execution_events, execution_steps
from .spans import SpanBuilder, StatusSpan, StepEnd, StepSpan, set_end
from .state import Run, find_run
from .step_changes import STEP_TYPES, read_pages
from .timeline import STATUS_TYPES


class Spans(msgspec.Struct, kw_only=True):
    """The statuses and steps of a run, or of a page of it: each belongs to the page on which it begins."""

    version: int
    """The last event of which this tells; what comes later is told from the next one on."""
    statuses: list[StatusSpan]
    """The last one lasts until a later page tells of another."""
    steps: list[StepSpan]
    """The outermost ones of those that begin here, in order of their start. Those that ended later have their ends,
    without the errors and events."""
    ended: list[StepEnd] = []
    next_version: int | None = None
    """Where the next page begins, None on the last one."""

    def extend(self, page: Spans) -> None:
        """Add the page that follows."""
        if self.statuses and page.statuses:
            self.statuses[-1].finished_at = page.statuses[0].started_at
        self.statuses += page.statuses
        begun = {step.step_id: step for step in _all(self.steps)}
        for step in page.steps:
            parent = begun.get(step.parent_step_id or "")
            (parent.steps if parent else self.steps).append(step)
        for end in page.ended:
            if step := begun.get(end.step_id):
                set_end(step, end)
        self.version, self.next_version = page.version, page.next_version


def read_spans(
    connection: Connection, ledger: str, job_id: str, from_version: int, limit: int, *, steps: bool
) -> Spans | None:
    """What `limit` events that begin or end a span tell, from a version on; None where there never was such a run."""
    run = find_run(connection, ledger, job_id)
    if run is None:
        return None
    types = (*STATUS_TYPES, *STEP_TYPES) if steps else STATUS_TYPES
    version = execution_events.c.version
    # What is appended meanwhile is left to the next page.
    wanted = (version >= from_version, version <= run.last)
    events = read_pages(connection, ledger, run.execution_id, types, *wanted)
    builder = SpanBuilder()
    for event in islice(events, limit):
        at = event.occurred_at or event.recorded_at
        builder.add(event.version, event.type.partition(".")[2], at, decode_event(event, EXECUTIONS.catalog).data)
    following = next(events, None)
    if following is not None:
        _tell_later_ends(connection, ledger, run, builder)
    return Spans(
        version=run.last if following is None else following.version - 1,
        statuses=builder.statuses,
        steps=builder.steps,
        ended=builder.ends,
        next_version=None if following is None else following.version,
    )


def _tell_later_ends(connection: Connection, ledger: str, run: Run, builder: SpanBuilder) -> None:
    step = execution_steps.c
    waiting = [span.step_id for span in builder.by_id.values() if span.finished_at is None]
    statement = select(step.step_id, step.finished_at, step.outcome).where(
        step.ledger_id == ledger, step.execution_id == run.execution_id, step.step_id.in_(waiting)
    )
    for row in connection.execute(statement) if waiting else ():
        span = builder.by_id[row.step_id]
        span.finished_at, span.outcome = row.finished_at, row.outcome


def _all(steps: list[StepSpan]) -> Iterator[StepSpan]:
    waiting = list(steps)
    while waiting:
        yield (step := waiting.pop())
        waiting += step.steps
