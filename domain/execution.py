"""The execution: one run of one job, and the rules of its life."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import uuid4

import msgspec

from .aggregate import LedgerAggregate
from .commands import Command, Correct, Delete, Expire, FinishStep, Note, ReportLateOutcome, StartStep, Update
from .context import Context
from .details import LABELS, Details, parse_details
from .errors import DuplicateJobId, IllegalTransition, InvalidInput, LeaseLost, StepConflict, UnknownStep
from .leases import Held
from .payloads import NoteText, Nothing, StepFinish, StepStart
from .status import ExecutionStatus, find_transition, targets


class Execution(LedgerAggregate):
    """One run of one job. Stored names of events never change."""

    TOPIC = "execution"
    duplicate_error = DuplicateJobId
    key_field = "job_id"

    class Event(LedgerAggregate.Event):
        """Base of the events below."""

    class Created(Event, LedgerAggregate.Created):
        """The ledger learned of the execution."""

        TOPIC = "execution.created"
        payload: ClassVar = Details

    class Prepared(Event):
        """It is being prepared."""

        TOPIC = "execution.prepared"
        payload: ClassVar = Details

    class Started(Event):
        """It runs."""

        TOPIC = "execution.started"
        payload: ClassVar = Details

    class Progressed(Event):
        """It came further."""

        TOPIC = "execution.progressed"
        payload: ClassVar = Details

    class ApprovalRequested(Event):
        """It waits for a person."""

        TOPIC = "execution.approval_requested"
        payload: ClassVar = Details

    class Approved(Event):
        """A person let it go on."""

        TOPIC = "execution.approved"
        payload: ClassVar = Details

    class Rejected(Event):
        """A person ended it."""

        TOPIC = "execution.rejected"
        payload: ClassVar = Details

    class StopRequested(Event):
        """It was asked to stop."""

        TOPIC = "execution.stop_requested"
        payload: ClassVar = Details

    class Stopped(Event):
        """It stopped as asked."""

        TOPIC = "execution.stopped"
        payload: ClassVar = Details

    class Completed(Event):
        """It did its work."""

        TOPIC = "execution.completed"
        payload: ClassVar = Details

    class Failed(Event):
        """It did not do its work."""

        TOPIC = "execution.failed"
        payload: ClassVar = Details

    class Cancelled(Event):
        """It was called off."""

        TOPIC = "execution.cancelled"
        payload: ClassVar = Details

    class DetailsChanged(Event):
        """Fields changed, the status did not."""

        TOPIC = "execution.details_changed"
        payload: ClassVar = Details

    class Corrected(Event):
        """Somebody set fields in spite of the rules, and said why."""

        TOPIC = "execution.corrected"
        payload: ClassVar = Details

    class LateOutcome(Event):
        """A worker reported an outcome after the end; the status stayed."""

        TOPIC = "execution.late_outcome"
        payload: ClassVar = Details

    class StepStarted(Event):
        """A step began."""

        TOPIC = "execution.step_started"
        payload: ClassVar = StepStart

    class StepFinished(Event):
        """A step ended."""

        TOPIC = "execution.step_finished"
        payload: ClassVar = StepFinish

    class Noted(Event):
        """Something was said."""

        TOPIC = "execution.noted"
        payload: ClassVar = NoteText

    class Deleted(Event):
        """It left the history; its events stay."""

        TOPIC = "execution.deleted"
        payload: ClassVar = Nothing
        removes: ClassVar = True

    @property
    def current(self) -> ExecutionStatus:
        """The status as a member of the enumeration."""
        return ExecutionStatus(self.status or "")

    @classmethod
    def parse(cls, data: Mapping[str, Any], *, creating: bool) -> Details:
        """Fields of an execution, checked by the table `FIELDS`."""
        return parse_details(data, creating=creating)

    @classmethod
    def complete(cls, details: Details, context: Context, now: datetime) -> Details:
        """A new execution is pending and its first attempt unless it says otherwise; a missing job id is made."""
        given = details.changes()
        when = given.get("created_at") or context.occurred_at or now
        status = ExecutionStatus(given.get("status", ExecutionStatus.PENDING))
        fields: dict[str, Any] = {"attempt": 1} | given | {"status": status.value, "created_at": when}
        if "job_id" not in fields:
            fields["job_id"] = str(uuid4())
        if status.is_terminal:
            fields["completed_at"] = fields.get("completed_at") or context.occurred_at or now
        else:
            _refuse_early_end(fields)
            if status is ExecutionStatus.RUNNING:
                fields["started_at"] = fields.get("started_at") or when
        return Details(**fields)

    def handle(self, command: Command, context: Context, now: datetime) -> None:
        """Decide on one command."""
        match command:
            case Update():
                self._update(command, context, now)
            case Correct():
                self._correct(command, context, now)
            case ReportLateOutcome():
                self._report_late_outcome(command, context, now)
            case StartStep():
                self._start_step(command, context, now)
            case FinishStep():
                self._finish_step(command, context, now)
            case Note():
                if command.step_id is not None:
                    self._known_step(command.step_id)
                fields = {name: getattr(command, name) for name in NoteText.__struct_fields__}
                self.record(self.Noted, NoteText(**fields), context, now)
            case Delete():
                self.record(self.Deleted, Nothing(), context, now)
            case Expire():
                self._expire(command, context, now)
            case _:
                raise TypeError(f"an execution knows no command {type(command).__name__}")

    def _update(self, command: Update, context: Context, now: datetime) -> None:
        fields = command.changes.changes()
        target = ExecutionStatus(fields.pop("status", self.current))
        event = self._transition(target, command.event)
        if event is None:
            self._change_details(fields, restated=command.changes.status is not msgspec.UNSET, context=context, now=now)
            return
        fields["status"] = target.value
        when = context.occurred_at or now
        if target.is_terminal:
            fields["completed_at"] = fields.get("completed_at") or when
        else:
            _refuse_early_end(fields)
        if target is ExecutionStatus.RUNNING and not (self.started_at or fields.get("started_at")):
            fields["started_at"] = when
        self.record(event, Details(**fields), context, now)

    def _transition(self, target: ExecutionStatus, event: str | None) -> type[LedgerAggregate.Event] | None:
        """The event that leads to `target`; None where that is the status already."""
        if target is self.current:
            return None
        row = find_transition(self.current, target)
        if row is None or event not in (None, row.event):
            raise self._refuse(f"it cannot become {target}" + (f" by {event!r}" if event else ""))
        return TRANSITION_EVENTS[row.event]

    def _change_details(self, fields: dict[str, Any], *, restated: bool, context: Context, now: datetime) -> None:
        if self.current.is_terminal:
            if restated:
                # The same end told twice is no news; its second time of day is not worth a refusal.
                fields.pop("completed_at", None)
            if frozen := sorted(fields.keys() - LABELS):
                raise self._refuse(f"its {', '.join(frozen)} cannot change any more")
        else:
            _refuse_early_end(fields)
        if not fields:
            return
        progressed = "progress" in fields and fields.keys() <= {"progress", "message"}
        self.record(self.Progressed if progressed else self.DetailsChanged, Details(**fields), context, now)

    def _correct(self, command: Correct, context: Context, now: datetime) -> None:
        if not context.reason:
            raise InvalidInput(field="reason", problem="is missing", remedy="A correction says why it is made.")
        fields = command.changes.changes()
        target = ExecutionStatus(fields.get("status", self.current))
        if target is self.current:
            fields.pop("status", None)
        if not target.is_terminal:
            _refuse_early_end(fields)
            if self.current.is_terminal:
                fields["completed_at"] = None
        elif not self.current.is_terminal:
            fields["completed_at"] = fields.get("completed_at") or context.occurred_at or now
        elif fields.get("completed_at", now) is None:
            raise InvalidInput(
                field="completed_at",
                problem=f"cannot be null while {target}",
                remedy="Leave it out, or correct the status.",
            )
        if fields:
            self.record(self.Corrected, Details(**fields), context, now)

    def _report_late_outcome(self, command: ReportLateOutcome, context: Context, now: datetime) -> None:
        if not self.current.is_terminal:
            raise self._refuse("it has not ended, so no outcome is late")
        self._keep_late(_outcome(command) or {}, context, now)

    def _keep_late(self, told: dict[str, Any], context: Context, now: datetime) -> None:
        outcome = {
            name: _iso(value) if isinstance(value, datetime) else value
            for name, value in told.items()
            if value is not None
        }
        outcome["reported_at"] = _iso(context.occurred_at or now)
        self.record(self.LateOutcome, Details(late_outcome=outcome), context, now)

    def handle_leased(self, command: Command, lease: int, context: Context, now: datetime) -> None:
        """As ever; but the outcome of a run that was ended meanwhile is kept beside its end, whatever the token."""
        told = _outcome(command) if self.current.is_terminal else None
        if told is None:
            super().handle_leased(command, lease, context, now)
            return
        news = told.copy()
        if news["status"] == self.status:
            # The same end told twice, as by a worker that never heard that the first time got through.
            del news["status"]
            news.pop("completed_at", None)
        if lease == self.lease_token and news.keys() <= LABELS:
            self.handle(command, context, now)
        elif news:
            self._keep_late(told, context, now)

    def grant(self, holder: str, held: Held | None, now: datetime) -> int:
        """The token of a new lease; nobody works on what has ended."""
        if self.current.is_terminal:
            raise self._refuse("nobody can take a lease on it")
        return super().grant(holder, held, now)

    def _expire(self, command: Expire, context: Context, now: datetime) -> None:
        if self.current.is_terminal:
            return
        if command.token != self.lease_token:
            raise LeaseLost(key=self.key, token=command.token)
        # Who was to confirm the stop is gone, so it has stopped; whatever else it did, it did not do its work.
        stopping = self.current is ExecutionStatus.STOPPING
        target = ExecutionStatus.STOPPED if stopping else ExecutionStatus.FAILED
        event = self._transition(target, None)
        assert event is not None, "the table leads there from every status that is not an end"
        # When the lease ended, not when somebody looked; but no run ends before the last that is known of it.
        fields: dict[str, Any] = {"status": target.value, "completed_at": max(command.expired_at, self.modified_on)}
        if not stopping:
            fields["error"] = (
                f"The lease of {command.holder} expired at {_iso(command.expired_at)} and was not renewed: "
                "the worker is gone, or was stalled for too long."
            )
        self.lease_token += 1
        self.record(event, Details(**fields), context, now)

    def _start_step(self, command: StartStep, context: Context, now: datetime) -> None:
        if self.current.is_terminal:
            raise self._refuse("no step can start any more")
        if command.step_id in self.steps:
            raise self._step_conflict(command.step_id, "it was started before", "Give every step an id of its own.")
        if command.parent_step_id is not None and self._known_step(command.parent_step_id).outcome is not None:
            raise self._step_conflict(command.parent_step_id, "it has ended", "Start the inner step before that.")
        data = StepStart(
            step_id=command.step_id,
            name=command.name,
            kind=command.kind,
            parent_step_id=command.parent_step_id,
            attributes=command.attributes,
            started_at=command.started_at or context.occurred_at or now,
        )
        self.record(self.StepStarted, data, context, now)

    def _finish_step(self, command: FinishStep, context: Context, now: datetime) -> None:
        # Allowed after the end of the run: it changes no outcome, and a worker that reports late loses nothing.
        ended = self._known_step(command.step_id).outcome
        if ended == command.outcome and command.result is None and command.error is None:
            return
        if ended is not None:
            raise self._step_conflict(command.step_id, f"it has ended ({ended})", "A step ends once.")
        data = StepFinish(
            step_id=command.step_id,
            outcome=command.outcome,
            result=command.result,
            error=command.error,
            finished_at=command.finished_at or context.occurred_at or now,
        )
        self.record(self.StepFinished, data, context, now)

    def _known_step(self, step_id: str) -> Any:
        if step_id not in self.steps:
            raise UnknownStep(job_id=self.key, step_id=step_id)
        return self.steps[step_id]

    def _step_conflict(self, step_id: str, problem: str, remedy: str) -> StepConflict:
        return StepConflict(job_id=self.key, step_id=step_id, problem=problem, remedy=remedy)

    def _refuse(self, problem: str) -> IllegalTransition:
        if self.current.is_terminal:
            remedy = "It has ended; if the record is wrong, correct it with a reason."
        else:
            remedy = f"It can become: {', '.join(targets(self.current))}."
        return IllegalTransition(job_id=self.key, source=self.current.value, problem=problem, remedy=remedy)


TRANSITION_EVENTS: dict[str, type[LedgerAggregate.Event]] = {
    "prepared": Execution.Prepared,
    "started": Execution.Started,
    "approval_requested": Execution.ApprovalRequested,
    "approved": Execution.Approved,
    "rejected": Execution.Rejected,
    "stop_requested": Execution.StopRequested,
    "stopped": Execution.Stopped,
    "completed": Execution.Completed,
    "failed": Execution.Failed,
    "cancelled": Execution.Cancelled,
}
"""The event class of each name in the transition table."""


def _refuse_early_end(fields: dict[str, Any]) -> None:
    """`completed_at` is set for every terminal status and only for those; a null is as good as leaving it out."""
    if fields.pop("completed_at", None) is not None:
        raise InvalidInput(
            field="completed_at",
            problem="is set while the execution has not ended",
            remedy="Send it with a terminal status.",
        )


def _outcome(command: Command) -> dict[str, Any] | None:
    """What a command tells of how the run ended; None where it tells of something else."""
    match command:
        case Update() if command.changes.status is not msgspec.UNSET:
            told = command.changes.changes()
            return told if ExecutionStatus(told["status"]).is_terminal else None
        case ReportLateOutcome():
            return {"status": command.status, "result": command.result, "error": command.error}
        case _:
            return None


def _iso(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
