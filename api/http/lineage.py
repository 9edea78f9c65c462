"""OpenLineage events as commands on executions: a run is an execution whose job id is the run id.

Every event leaves a note that has it whole, with its own time. Sent again, it is known by what it says: recorded once.
An event that comes late or out of order changes no status back: what a run reports after its end is its late outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec
from pydantic import ValidationError

from ...domain import (
    Command,
    Context,
    Correct,
    Create,
    DuplicateKey,
    IllegalTransition,
    InvalidInput,
    LedgerError,
    Note,
    ReportLateOutcome,
    UnknownExecution,
    Update,
    make_context,
)
from ...domain.limits import KEY_LENGTH, Limits
from ...domain.values import check_time
from ...infrastructure import GroupWriter, Outcome, Request
from .lineage_schemas import LineageEvent, datasets

SOURCE = "openlineage"
_ENDS = {"COMPLETE": "completed", "FAIL": "failed", "ABORT": "cancelled"}
_BEGINS = frozenset({"START", "RUNNING", *_ENDS})


async def record_all(
    writer: GroupWriter, ledger: str, events: Iterable[Any], context: Context, limits: Limits
) -> list[LedgerError | None]:
    """Record events of decoded JSON, together and in their order; of each, why it was refused, or None."""

    async def one(raw: Any) -> LedgerError | None:
        try:
            await record(writer, ledger, parse(raw), raw, context, limits)
        except LedgerError as error:
            return error
        return None

    # Each sends its commands before it first waits: so they are written in this order.
    return list(await asyncio.gather(*map(one, events)))


def parse(raw: Any) -> LineageEvent:
    """An event of decoded JSON; refused with the path of the fault."""
    try:
        return LineageEvent.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:80] for part in first["loc"]) or "event"
        raise InvalidInput(field=where, problem=first["msg"], remedy="Send it as OpenLineage says.") from error


async def record(
    writer: GroupWriter, ledger: str, event: LineageEvent, raw: dict[str, Any], context: Context, limits: Limits
) -> Outcome | None:
    """Record an event; None for one that is of no run."""
    check_time(event.eventTime, "eventTime")
    if event.run is None:
        return None
    if event.job is None:
        raise InvalidInput(field="job", problem="is missing", remedy="Send the job of the run.")
    encoded = msgspec.json.encode(raw, order="deterministic")
    limits.check_payload("run", encoded)  # before anything of it is recorded
    key, run_id, said = sha256(encoded).hexdigest(), event.run.runId.lower(), _context(event, context)

    async def execute(commands: list[Command], *, behind: int = 0) -> list[Any]:
        requests = [
            Request(ledger, run_id, command, said, command_id=f"{SOURCE}-{key}-{at}")
            for at, command in enumerate(commands, behind)
        ]
        return list(await writer.execute_together(requests, rows=True))

    known = _known(event)
    commands = _commands(event, raw, known)
    answers = await execute(commands)
    late: list[Command] = []
    row = _outcome(answers, ledger, run_id).row
    missing = {name: value for name, value in known.items() if row is not None and row[name] is None}
    if event.eventType == "START" and missing:  # another event came before it
        said = make_context(said, reason=said.reason or "OpenLineage told of it later")
        late.append(Correct.of(missing))
    if isinstance(answers[-1], IllegalTransition) and event.eventType in _ENDS:
        late.append(ReportLateOutcome.of(_ENDS[event.eventType], _result(event), _error(event)))
    if late:
        answers += await execute(late, behind=len(commands))
    return _outcome(answers, ledger, run_id)


def _known(event: LineageEvent) -> dict[str, Any]:
    """What is said of the run itself, by field."""
    assert event.run is not None
    assert event.job is not None
    parent, job_type = event.run.facets.parent, event.job.facets.jobType
    fields = {
        "run_name": event.job.name[:KEY_LENGTH] or None,
        "parent_job_id": None if parent is None else parent.run.runId.lower(),
        "execution_type": None if job_type is None else job_type.integration.lower(),
        "inputs": {"datasets": datasets(event.inputs)} if event.inputs else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _commands(event: LineageEvent, raw: dict[str, Any], known: dict[str, Any]) -> list[Command]:
    """Each is refused where another event was there before; that is as it should be."""
    assert event.run is not None
    assert event.job is not None
    attributes = {"openlineage_namespace": event.job.namespace, "openlineage_job": event.job.name}
    given = {"job_id": event.run.runId.lower(), "created_at": event.eventTime, "attributes": attributes}
    level = "error" if event.eventType == "FAIL" else "info"
    note = Note.of(f"OpenLineage {event.eventType or 'event'}", level=level, source=SOURCE, data=raw)
    commands: list[Command] = [Create.of({**given, **known})]
    if event.eventType in _BEGINS:
        commands.append(Update.by("started"))
    commands.append(note)
    if event.eventType in _ENDS:
        fields = {"result": _result(event), "error": _error(event)}
        told = {name: value for name, value in fields.items() if value is not None}
        commands.append(Update.by(_ENDS[event.eventType], told))
    return commands


def _result(event: LineageEvent) -> dict[str, Any] | None:
    return {"datasets": datasets(event.outputs)} if event.outputs else None


def _error(event: LineageEvent) -> str | None:
    if event.eventType != "FAIL" or event.run is None:
        return None
    facet = event.run.facets.errorMessage
    return "The run failed." if facet is None else facet.message or "The run failed."


def _context(event: LineageEvent, context: Context) -> Context:
    """When it happened by the producer's clock; with which other runs, as far as nobody says otherwise."""
    assert event.run is not None
    said: dict[str, Any] = {"occurred_at": event.eventTime}
    parent = event.run.facets.parent
    if context.correlation_id is None and parent is not None:
        said["correlation_id"] = (parent.root or parent).run.runId.lower()
    return make_context(context, **said)


def _outcome(answers: list[Any], ledger: str, run_id: str) -> Outcome:
    """The last outcome; raises what was refused for another reason than that the event came late, or again."""
    outcomes = [answer for answer in answers if isinstance(answer, Outcome)]
    for answer in answers:
        if isinstance(answer, DuplicateKey) and not answer.deleted:
            continue
        if isinstance(answer, Exception) and not isinstance(answer, IllegalTransition):
            raise answer
    if not outcomes:
        raise UnknownExecution(ledger=ledger, target=run_id)
    return outcomes[-1]
