"""What one row gives: the first event of an execution, a correction of it, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from ...domain import Context, Correct, Create, DuplicateJobId, InvalidInput, Limits, StreamState
from ...domain.details import Details
from ..codec import encode_event
from ..entity import EXECUTIONS
from ..loading import Arrival
from .mapping import MappedRow
from .plans import Plan


class Known(NamedTuple):
    """An execution that is in the ledger."""

    state: StreamState
    row: Mapping[str, Any]
    """Its projected row."""


class Begun(NamedTuple):
    """An execution that would begin with an event."""

    arrival: Arrival
    known: Known


class Maker:
    """Makes events of rows."""

    def __init__(self, ledger: str, table: str, plan: Plan, context: Context, limits: Limits) -> None:
        self._ledger = ledger
        self._table = table
        self._plan = plan
        self._context = context
        self._limits = limits

    def make(
        self,
        row: MappedRow,
        known: dict[int | str, Known],
        went_on: Callable[[Known], bool],
        begun: Begun | None = None,
    ) -> Arrival | Literal["unchanged", "went_on", "deleted"]:
        """The event of a row; refused where its number or its key belongs to something else.

        An execution that begins becomes `known`; how it does may have been `begun` before.
        """
        key = str(row.details.job_id)
        there, same_key = known.get(row.id), known.get(key)
        if there is None and same_key is None:
            arrival, known[key] = begun or self.begin(row)
            known[row.id] = known[key]
            return arrival
        if there is None or there.state.key != key:
            self._refuse(row, key, there, same_key)
        assert there is not None
        if there.state.deleted:
            return "deleted"
        changes = _changes(row.details, there.row)
        if not changes:
            return "unchanged"
        return "went_on" if went_on(there) else self._correct(row, key, there, changes)

    def begin(self, row: MappedRow) -> Begun:
        """The first event of the execution that a row tells of."""
        context = msgspec.structs.replace(
            self._context,
            reason=self._reason("imported from", row),
            causation_id=f"{self._table}/{row.id}",
            occurred_at=_since(row.details),
        )
        aggregate = EXECUTIONS.aggregate.decide(
            None, Create(details=row.details), context, self._plan.recorded_at, self._ledger
        )
        arrival = self._arrival(row, str(row.details.job_id), aggregate)
        return Begun(arrival, Known(aggregate.state(row.id), {}))

    def _correct(self, row: MappedRow, key: str, known: Known, changes: Details) -> Arrival:
        context = msgspec.structs.replace(
            self._context,
            reason=self._reason("imported again, since it had changed, from", row),
            causation_id=f"{self._table}/{row.id}",
            occurred_at=row.details.changes().get("completed_at"),
        )
        aggregate = EXECUTIONS.aggregate.restore(known.state, {})
        now = self._plan.recorded_at
        decided = EXECUTIONS.aggregate.decide(aggregate, Correct(changes=changes), context, now, self._ledger)
        return self._arrival(row, key, decided)

    def _arrival(self, row: MappedRow, key: str, aggregate: Any) -> Arrival:
        [event] = aggregate.collect_events()
        salt = self._plan.salt(row.id, event.originator_version)
        return Arrival(encode_event(event, self._ledger, None, self._limits, salt=salt), row.id, key, event.data)

    def _reason(self, what: str, row: MappedRow) -> str:
        return f"{what} {self._table}" + (f"; {row.assumed}" if row.assumed else "")

    def _refuse(self, row: MappedRow, key: str, there: Known | None, same_key: Known | None) -> None:
        if same_key is not None:
            raise DuplicateJobId(key=key, ledger=self._ledger, deleted=same_key.state.deleted)
        assert there is not None
        raise InvalidInput(
            field="id",
            problem=f"{row.id} is that of execution {there.state.key!r} in ledger {self._ledger!r}",
            remedy="Import into a ledger that has given no numbers yet.",
        )


def _since(details: Details) -> datetime:
    """Since when all that a row tells is so."""
    since = details.completed_at or details.started_at or details.created_at
    assert isinstance(since, datetime)
    return since


def _changes(details: Details, row: Mapping[str, Any]) -> Details | None:
    """What a row tells now, where that is not what the ledger has."""
    told = details.changes()
    del told["id"], told["job_id"]
    cleared: dict[str, Any] = dict.fromkeys(
        name for name in _CLEARABLE if row.get(name) is not None and name not in told
    )  # told before, and no more
    changed: dict[str, Any] = {name: value for name, value in told.items() if row[name] != value} | cleared
    return Details(**changed) if changed else None


_CLEARABLE = ("inputs", "result", "error", "message", "run_name", "progress", "completed_at", "attributes")
"""Fields that a row that goes back or is run again loses."""
