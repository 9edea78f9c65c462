"""Where each value of an execution comes from: the event, who caused it, when and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from ..sources import ERASED
from ..states import make_row
from .state import Resolved

_LAST = ("version", "updated_at")
_FIRST = ("ledger_id", "id", "execution_id")


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One value, and the event that set it."""

    field: str
    value: Any
    position: int
    version: int
    type: str
    """The stored name of the event, as `execution.completed`."""
    actor: str | None
    recorded_at: datetime
    occurred_at: datetime | None
    reason: str | None
    correlation_id: str | None
    trace_id: str | None
    command_id: str | None
    erased_since: int | None
    """A later event whose payload was erased: it may have set another value."""

    @property
    def at(self) -> datetime:
        """When it happened, by the reporter if that is known, else by the ledger."""
        return self.occurred_at or self.recorded_at


def explain(ledger: str, resolved: Resolved) -> dict[str, Explanation]:
    """The explanation of every column that an event has set, null or not; empty where there is no row."""
    point, found, stored, changes = resolved
    row = make_row(ledger, point, found, stored, changes) if found else None
    if found is None or row is None:
        return {}
    setters: dict[str, int] = {}
    for version in sorted({version for name, version in found.sources.items() if name != ERASED}):
        setters |= dict.fromkeys(changes[point[0], version], version)
    if "job_id" in setters:
        setters |= dict.fromkeys(_FIRST, setters["job_id"])
    setters |= dict.fromkeys(_LAST, found.version)
    erased = found.sources.get(ERASED, 0)
    return {
        name: _explanation(name, row[name], stored[point[0], setters[name]], erased) for name in row if name in setters
    }


def _explanation(field: str, value: Any, event: Any, erased: int) -> Explanation:
    return Explanation(
        field=field,
        value=value,
        position=event.position,
        version=event.version,
        type=event.type,
        actor=event.actor,
        recorded_at=event.recorded_at,
        occurred_at=event.occurred_at,
        reason=event.reason,
        correlation_id=event.correlation_id,
        trace_id=event.trace_id,
        command_id=event.command_id,
        erased_since=erased if erased > event.version else None,
    )
