"""What one append writes, folded from decided streams. Pure: both databases execute the same batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ..domain import EventRow, LedgerAggregate, StreamState, row_changes


class Receipt(NamedTuple):
    """What became of a command that carried an id."""

    command_id: str
    fingerprint: bytes
    first_event: int | None
    """Offset of its first event among those of its stream, later of its batch; None where it gave none."""
    event_count: int
    outcome: dict[str, Any]
    recorded_at: datetime


@dataclass(slots=True)
class Work:
    """One stream in one append: the state that was read, and what was decided on it."""

    base: StreamState | None
    """None where the stream begins here."""
    aggregate: LedgerAggregate
    events: list[Any] = field(default_factory=list)
    rows: list[EventRow] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    offset: int = 0
    """How many events of other streams precede its own in the batch it became part of."""

    @property
    def id(self) -> int | None:
        """The entity's number, where it has one already."""
        return self.base.id if self.base else None


Row = Mapping[Any, Any]
"""A projected row, by column name."""


class Appended(NamedTuple):
    """Where a batch landed: its events follow `position`, its new entities follow `id`."""

    position: int
    id: int
    rows: dict[int, Row]
    """The projected rows by id, where they were asked for."""


class Insert(NamedTuple):
    """A new projected row; `ordinal` counts the streams that begin in the batch, from 1."""

    ordinal: int
    values: dict[str, Any]


@dataclass(slots=True)
class Batch:
    """The rows of one append to one ledger. Positions and new ids are relative to what the head will give."""

    ledger_id: str
    moved: list[tuple[StreamState, StreamState]] = field(default_factory=list)
    """Streams to move on, each with the state that was read."""
    born: list[StreamState] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    inserts: list[Insert] = field(default_factory=list)
    updates: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """(id, changed columns) of projected rows."""
    deletes: list[int] = field(default_factory=list)
    new_steps: list[dict[str, Any]] = field(default_factory=list)
    ended_steps: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    """Changes of the head's counters."""

    def new_ids(self, last_id: int) -> dict[UUID, int]:
        """The ids of the streams that begin here, where the head had given ids up to `last_id`."""
        return {state.execution_id: last_id + at for at, state in enumerate(self.born, 1)}


def make_batch(ledger_id: str, works: Iterable[Work]) -> Batch:
    """Fold decided streams into one batch, ordered by id, new streams last."""
    batch = Batch(ledger_id)
    for work in sorted(works, key=lambda work: (work.id is None, work.id or 0)):
        _add(batch, work)
    return batch


def _add(batch: Batch, work: Work) -> None:
    work.offset = len(batch.events)
    for receipt in work.receipts:
        first = None if receipt.first_event is None else work.offset + receipt.first_event
        batch.receipts.append(receipt._replace(first_event=first))
    if not work.events:
        return
    batch.events.extend(work.rows)
    state = work.aggregate.state(work.id)
    if work.base is None:
        batch.born.append(state)
    else:
        batch.moved.append((state, work.base))
    _count(batch, work.base, state)
    _project(batch, work, state)
    _steps(batch, work)


def _count(batch: Batch, before: StreamState | None, after: StreamState) -> None:
    for state, step in ((before, -1), (after, 1)):
        if state is not None and not state.deleted:
            batch.counters["executions"] += step
            if state.status is not None:
                batch.counters[state.status] += step


def _project(batch: Batch, work: Work, state: StreamState) -> None:
    changes: dict[str, Any] = {}
    for event in work.events:
        changes |= row_changes(event)
    if work.base is None:
        if not state.deleted:
            batch.inserts.append(Insert(len(batch.born), changes))
    elif state.deleted:
        batch.deletes.append(_number(work))
    else:
        del changes["execution_id"]
        batch.updates.append((_number(work), changes))


def _steps(batch: Batch, work: Work) -> None:
    begun: dict[str, dict[str, Any]] = {}
    for event in work.events:
        step = event.data.step()
        if step is None:
            continue
        step["execution_id"] = event.originator_id
        if "outcome" not in step:
            begun[step["step_id"]] = step | {"outcome": None, "finished_at": None}
        elif step["step_id"] in begun:
            begun[step["step_id"]] |= step
        else:
            batch.ended_steps.append(step)
    batch.new_steps.extend(begun.values())


def _number(work: Work) -> int:
    assert work.id is not None
    return work.id
