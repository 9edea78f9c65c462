"""What events change of the facts of a run: plain values, of one event or of all that a batch holds of a run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from ...domain import EXECUTION_CATALOG, Details
from ...domain.status import TARGET_OF, TERMINAL
from ..recorded_event import RecordedEvent
from .failure_reasons import failure_reason

TYPES = frozenset(
    event.TOPIC for event in EXECUTION_CATALOG if event.payload is Details and event.TOPIC != "execution.progressed"
) | {"execution.deleted"}
"""Stored names of the events that can change a fact."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_AFTER_THE_END = frozenset({"details_changed", "corrected", "late_outcome"})
"""Events that can change what a run that has ended is counted as."""
_MOVES = frozenset({"outcome", "ended", "started", "created", "run_name", "execution_type", "late"})
"""Facts that it is counted by."""


class Change(msgspec.Struct):
    """What changes of one run."""

    execution_id: UUID
    job_id: str
    position: int
    """Of the last event in it."""
    facts: dict[str, Any]
    """The columns of `run_facts` that are set."""
    counts: bool = False
    """Whether the run may be counted, or counted otherwise, after it."""
    moves: bool = False
    """Whether the run may have been counted as something else before."""


def fold_changes(events: Iterable[RecordedEvent]) -> list[Change]:
    """One change for each run that these events, in the order of their positions, change anything of."""
    changes: dict[UUID, Change] = {}
    for event in events:
        facts = event_facts(event)
        if not facts:
            continue
        change = changes.get(event.execution_id)
        if change is None:
            change = changes[event.execution_id] = Change(event.execution_id, event.job_id, event.position, {})
        change.position = event.position
        change.facts |= facts
        moves = event.name in _AFTER_THE_END and not _MOVES.isdisjoint(facts)
        change.moves |= moves
        change.counts |= moves or bool(facts.get("outcome"))
    return list(changes.values())


def event_facts(event: RecordedEvent) -> dict[str, Any]:
    """The facts that one event sets, by column."""
    if event.name == "deleted":
        return {"deleted": 1}
    data = event.data or {}
    facts: dict[str, Any] = {name: data[name] or "" for name in ("run_name", "execution_type") if name in data}
    if "attempt" in data:
        facts["attempt"] = data["attempt"]
    if "created_at" in data or event.name == "created":
        facts["created"] = _microseconds(data.get("created_at") or event.at)
    if "started_at" in data:
        facts["started"] = _microseconds(data["started_at"])
    if "error" in data:
        facts["error"] = failure_reason(data["error"])
    if event.name == "late_outcome":
        facts["late"] = 1
    # The type tells the status also where the payload was erased.
    status = data.get("status") or TARGET_OF.get(event.name)
    if status in TERMINAL:
        facts["outcome"] = str(status)
    elif status is not None and event.name == "corrected":
        facts["outcome"] = ""
    # A correction to another outcome that tells no time leaves the one that was there.
    ends = bool(facts.get("outcome")) and event.name != "corrected"
    if ends or data.get("completed_at") is not None:
        facts["ended"] = _microseconds(data.get("completed_at")) or _microseconds(event.at)
    return facts


def _microseconds(time: datetime | str | None) -> int:
    """Since 1970; 0 for none, and for what a clock that was never set tells."""
    if time is None:
        return 0
    at = datetime.fromisoformat(time) if isinstance(time, str) else time
    return max((at - _EPOCH) // _MICROSECOND, 0)
