"""What an execution may do, written by hand from the design: plain dicts, and nothing of the code."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ENDED = frozenset({"stopped", "completed", "failed", "rejected", "cancelled"})
_END = {"stopped": "stopped", "failed": "failed", "cancelled": "cancelled"}
_RUN = _END | {"completed": "completed", "stopping": "stop_requested", "waiting_for_approval": "approval_requested"}
MAY_BECOME: dict[str, dict[str, str]] = {
    "pending": _RUN | {"preparing": "prepared", "running": "started"},
    "preparing": _RUN | {"running": "started"},
    "running": _RUN,
    "waiting_for_approval": _END | {"running": "approved", "rejected": "rejected", "stopping": "stop_requested"},
    "stopping": _END | {"completed": "completed"},
    **{status: {} for status in ENDED},
}
"""Status → what may follow → the event that leads there."""
LEADS_TO = {event: status for row in MAY_BECOME.values() for status, event in row.items()}
STATUSES = tuple(MAY_BECOME)
LABELS = frozenset({"message", "run_name", "group_email", "attributes"})
"""What may change after the end."""
COLUMNS = (
    *("status", "inputs", "result", "error", "message", "run_name", "trigger_type", "execution_type", "parent_job_id"),
    *("attempt", "progress", "created_at", "started_at", "completed_at", "stop_reason", "stop_requested_by"),
    *("partial_results", "late_outcome", "group_email", "attributes"),
)


class SomeTime:
    """A time that the ledger's clock gave."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (datetime, str, SomeTime))

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, _: Any) -> SomeTime:
        return self

    def __repr__(self) -> str:
        return "<some time>"


NOW: Any = SomeTime()


class Refused(Exception):
    """The model refuses; the argument is the name of the error that the code must raise."""


@dataclass(frozen=True)
class Call:
    """One write, as it is sent."""

    kind: str
    ledger: str
    target: int | str
    """An id or a job id; for a create its job id, or a word of the model's own where the code makes one up."""
    data: dict[str, Any]
    context: dict[str, Any]
    expected_version: int | None = None
    command_id: str | None = None

    def fingerprint(self) -> str:
        """What makes two calls for one execution the same command: not the correlation, the trace or the time."""
        parts = [self.kind, self.data, self.expected_version, self.context.get("actor"), self.context.get("reason")]
        return json.dumps(parts, default=str, sort_keys=True)


@dataclass
class Run:
    """One execution."""

    job_id: str
    """The model's word for it where the code made it up."""
    id: int | None = None
    """None until it is appended."""
    version: int = 0
    row: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, str | None] = field(default_factory=dict)
    """Step → outcome."""
    deleted: bool = False

    @property
    def ended(self) -> bool:
        return self.row["status"] in ENDED


@dataclass
class Event:
    """One event, as far as the model says it."""

    job_id: str
    version: int
    type: str
    context: dict[str, Any]
    command_id: str | None


def decide(run: Run | None, call: Call) -> tuple[Run, list[Event]] | None:
    """The execution after the call, and its new events; None where there is no such execution."""
    if call.kind != "create" and (run is None or run.deleted):
        return None
    version = run.version if run else 0
    if call.expected_version not in (None, version):
        raise Refused("VersionConflict")
    if call.kind == "create":
        fields = _created(call)
        if run is not None:
            raise Refused("DuplicateJobId")
        changed = Run(str(call.target))
        type_ = "created"
    else:
        assert run is not None
        changed = copy.deepcopy(run)
        answer = _RULES[call.kind](changed, dict(call.data), call.context)
        if answer is None:
            return changed, []
        type_, fields = answer
    changed.row |= fields
    changed.version += 1
    changed.row["version"] = changed.version
    return changed, [Event(changed.job_id, changed.version, f"execution.{type_}", call.context, call.command_id)]


_Answer = tuple[str, dict[str, Any]] | None
"""The event and the columns it sets; None where nothing is to be recorded."""


def _when(context: dict[str, Any]) -> Any:
    return context.get("occurred_at") or NOW


def _created(call: Call) -> dict[str, Any]:
    given = {name: value for name, value in call.data.items() if name != "job_id"}
    for name in ("status", "attempt", "created_at"):
        if given.get(name) is None:
            given.pop(name, None)
    fields = dict.fromkeys(COLUMNS) | {"status": "pending", "attempt": 1, "created_at": _when(call.context)} | given
    if fields["status"] in ENDED:
        fields["completed_at"] = fields["completed_at"] or _when(call.context)
    elif fields["completed_at"] is not None:
        raise Refused("InvalidInput")
    elif fields["status"] == "running":
        fields["started_at"] = fields["started_at"] or fields["created_at"]
    return fields


def _only_at_the_end(fields: dict[str, Any]) -> None:
    if fields.pop("completed_at", None) is not None:
        raise Refused("InvalidInput")


def _update(run: Run, fields: dict[str, Any], context: dict[str, Any]) -> _Answer:
    event = fields.pop("event", None)
    old, new = run.row["status"], fields.get("status", run.row["status"])
    if new != old:
        leads = MAY_BECOME[old].get(new)
        if leads is None or event not in (None, leads):
            raise Refused("IllegalTransition")
        if new in ENDED:
            fields["completed_at"] = fields.get("completed_at") or _when(context)
        else:
            _only_at_the_end(fields)
        if new == "running" and not run.row["started_at"] and not fields.get("started_at"):
            fields["started_at"] = _when(context)
        return leads, fields
    if run.ended:
        if "status" in fields:
            fields.pop("completed_at", None)
        fields.pop("status", None)
        if not fields.keys() <= LABELS:
            raise Refused("IllegalTransition")
    else:
        fields.pop("status", None)
        _only_at_the_end(fields)
    if not fields:
        return None
    return "progressed" if fields.keys() in ({"progress"}, {"progress", "message"}) else "details_changed", fields


def _correct(run: Run, fields: dict[str, Any], context: dict[str, Any]) -> _Answer:
    if not context.get("reason"):
        raise Refused("InvalidInput")
    old, new = run.row["status"], fields.get("status", run.row["status"])
    if new == old:
        fields.pop("status", None)
    if new not in ENDED:
        _only_at_the_end(fields)
        if old in ENDED:
            fields["completed_at"] = None
    elif old not in ENDED:
        fields["completed_at"] = fields.get("completed_at") or _when(context)
    elif fields.get("completed_at", NOW) is None:
        raise Refused("InvalidInput")
    return ("corrected", fields) if fields else None


def _late_outcome(run: Run, fields: dict[str, Any], context: dict[str, Any]) -> _Answer:
    if not run.ended:
        raise Refused("IllegalTransition")
    told = {name: value for name, value in fields.items() if value is not None}
    return "late_outcome", {"late_outcome": told | {"reported_at": NOW}}


def _start_step(run: Run, fields: dict[str, Any], context: dict[str, Any]) -> _Answer:
    step, parent = fields["step_id"], fields.get("parent_step_id")
    if run.ended:
        raise Refused("IllegalTransition")
    if step in run.steps:
        raise Refused("StepConflict")
    if parent is not None:
        if parent not in run.steps:
            raise Refused("UnknownStep")
        if run.steps[parent] is not None:
            raise Refused("StepConflict")
    run.steps[step] = None
    return "step_started", {}


def _finish_step(run: Run, fields: dict[str, Any], context: dict[str, Any]) -> _Answer:
    step = fields["step_id"]
    if step not in run.steps:
        raise Refused("UnknownStep")
    ended = run.steps[step]
    if ended is not None:
        if ended == fields["outcome"] and fields.get("result") is None and fields.get("error") is None:
            return None
        raise Refused("StepConflict")
    run.steps[step] = fields["outcome"]
    return "step_finished", {}


def _note(run: Run, fields: dict[str, Any], context: dict[str, Any]) -> _Answer:
    if fields.get("step_id") is not None and fields["step_id"] not in run.steps:
        raise Refused("UnknownStep")
    return "noted", {}


def _delete(run: Run, fields: dict[str, Any], context: dict[str, Any]) -> _Answer:
    run.deleted = True
    return "deleted", {}


_RULES = {
    "update": _update,
    "correct": _correct,
    "late_outcome": _late_outcome,
    "start_step": _start_step,
    "finish_step": _finish_step,
    "note": _note,
    "delete": _delete,
}
