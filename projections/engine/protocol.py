"""What a projection is: events in, statements out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from sqlalchemy import ColumnElement, Executable, Table, true

from ...infrastructure.tables import execution_events
from ..recorded_event import RecordedEvent


class Projection(Protocol):
    """Tables derived from the events of each ledger, which can be thrown away and made again.

    It may have three more things. `only` is a condition on the columns of `execution_events`: events that do not meet
    it change nothing, and are passed by unread. `batch(events) -> statements` does for several events of one ledger,
    in order, what `statements` does for each: far fewer statements, the same rows. `quarantines = True` says that its
    rows of one execution do not depend on those of another, so that an event that fails sets aside that execution only.
    """

    @property
    def name(self) -> str:
        """Its name in `projection_checkpoints`; never changed."""
        ...

    @property
    def tables(self) -> Sequence[Table]:
        """What it writes to; every key contains `ledger_id`."""
        ...

    @property
    def types(self) -> Collection[str] | None:
        """The stored types of the events that it handles, as `execution.completed`; None for all."""
        ...

    def statements(self, event: RecordedEvent) -> Iterable[Executable]:
        """What an event changes. Pure; and executed once more, it changes nothing."""
        ...


def batch_statements(projection: Projection, events: Sequence[RecordedEvent]) -> Iterable[Executable]:
    """The statements for events of one ledger, in the order of their positions."""
    batch = getattr(projection, "batch", None)
    if batch is not None:
        yield from batch(events)
        return
    for event in events:
        yield from projection.statements(event)


def handled(projection: Projection) -> ColumnElement[bool]:
    """The condition on `execution_events` for the events that a projection handles."""
    types = projection.types
    of_types = true() if types is None else execution_events.c.type.in_(types)
    return of_types & getattr(projection, "only", true())


def may_quarantine(projection: Projection) -> bool:
    """Whether an execution whose event fails may be set aside."""
    return bool(getattr(projection, "quarantines", False))
