"""OpenLineage events as commands on executions: a run is an execution whose job id is the run id.

Every event leaves a note that has it whole, with its own time. Sent again, it is known by what it says: recorded once.
An event that comes late or out of order changes no status back: what a run reports after its end is its late outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from pydantic import ValidationError

from ...domain import (
    Command,
    CommandIdReused,
    Context,
    Correct,
    Create,
    DuplicateKey,
    IllegalTransition,
    InvalidInput,
    LedgerError,
    Note,
    PayloadTooLarge,
    ReportLateOutcome,
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
_BESIDE = 1024
"""Bytes that our events say beside what is the producer's."""


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
    time = check_time(event.eventTime, "eventTime")
    if event.run is None and event.is_of_no_run():
        return None
    for part in ("run", "job"):
        if getattr(event, part) is None:
            raise InvalidInput(field=part, problem="is missing", remedy=f"Send the {part}.")
    assert event.run is not None
    known = _known(event)
    commands = _commands(event, raw, known)  # which checks it whole, before anything of it is recorded
    encoded = msgspec.json.encode(raw, order="deterministic")
    _check_size(raw, encoded, limits)
    key, run_id, said = sha256(encoded).hexdigest(), event.run.runId.lower(), _context(event, context)

    async def execute(commands: list[Command], *, behind: int = 0) -> list[Any]:
        requests = [
            Request(ledger, run_id, command, said, command_id=f"{SOURCE}-{key}-{at}")
            for at, command in enumerate(commands, behind)
        ]
        return _accepted(list(await writer.execute_together(requests, rows=True)))

    answers = await execute(commands)
    row = _row(answers)
    if row is None:  # somebody else, another actor, recorded this very event, or the run is deleted
        return await writer.execute(Request(ledger, run_id, Update.of({})))
    late: list[Command] = []
    news = {name: value for name, value in known.items() if row[name] is None} | _earlier(event, time, row)
    if news:  # another event came before it
        said = make_context(said, reason=said.reason or "OpenLineage told of it later")
        late.append(Correct.of(news))
    end = _ENDS.get(event.eventType or "")
    if end is not None and end != row["status"] and isinstance(answers[-1], IllegalTransition):
        late.append(ReportLateOutcome.of(end, _result(event), _error(event)))
    if late:
        answers += await execute(late, behind=len(commands))
    return [answer for answer in answers if isinstance(answer, Outcome)][-1]


def _check_size(raw: dict[str, Any], encoded: bytes, limits: Limits) -> None:
    """Refuse an event that cannot be kept whole, and name the part that is to blame."""
    try:
        limits.check_payload("run", encoded + bytes(_BESIDE))
    except PayloadTooLarge as error:
        path, part = [], raw
        while isinstance(part, dict) and part:
            name, largest = max(part.items(), key=lambda item: len(msgspec.json.encode(item[1])))
            if len(msgspec.json.encode(largest)) < len(encoded) / 2:
                break
            path.append(name[:80])
            part = largest
        raise PayloadTooLarge(**{**error.details, "field": ".".join(path) or "event"}) from error


def _known(event: LineageEvent) -> dict[str, Any]:
    """What is said of the run itself, by field."""
    assert event.run is not None
    assert event.job is not None
    parent, job_type = event.run.facets.parent, event.job.facets.jobType
    fields = {
        "run_name": event.job.name[:KEY_LENGTH] or None,
        "parent_job_id": None if parent is None else parent.run.runId.lower(),
        "execution_type": None if job_type is None or job_type.integration is None else job_type.integration.lower(),
        "inputs": {"datasets": datasets(event.inputs)} if event.inputs else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _earlier(event: LineageEvent, time: datetime, row: Mapping[str, Any]) -> dict[str, Any]:
    """The times of the run that are later in the row than the event, which came late, shows that they were."""
    begun = ("created_at", "started_at") if event.eventType in _BEGINS else ("created_at",)
    return {name: time for name in begun if row[name] is not None and time < row[name]}


def _commands(event: LineageEvent, raw: dict[str, Any], known: dict[str, Any]) -> list[Command]:
    """Each is refused where another event was there before; that is as it should be."""
    assert event.run is not None
    assert event.job is not None
    attributes = {"openlineage_namespace": event.job.namespace, "openlineage_job": event.job.name}
    if (job_type := event.job.facets.jobType) is not None and job_type.jobType is not None:
        attributes["openlineage_job_type"] = job_type.jobType
    given = {"job_id": event.run.runId.lower(), "created_at": event.eventTime, "attributes": attributes}
    note = _note(event, raw)  # first: it finds what cannot be kept, wherever that is
    commands: list[Command] = [Create.of({**given, **known})]
    if event.eventType in _BEGINS:
        commands.append(Update.by("started"))
    commands.append(note)
    if event.eventType in _ENDS:
        fields = {"result": _result(event), "error": _error(event)}
        told = {name: value for name, value in fields.items() if value is not None}
        commands.append(Update.by(_ENDS[event.eventType], told))
    return commands


def _note(event: LineageEvent, raw: dict[str, Any]) -> Note:
    level = "error" if event.eventType == "FAIL" else "info"
    try:
        return Note.of(f"OpenLineage {event.eventType or 'event'}", level=level, source=SOURCE, data=raw)
    except InvalidInput as error:
        path = error.field.removeprefix("data").removeprefix(".") or "event"
        raise InvalidInput(field=path, problem=error.problem, remedy=error.remedy) from error


def _result(event: LineageEvent) -> dict[str, Any] | None:
    """What it wrote; a run that did not complete says what it was to write."""
    return {"datasets": datasets(event.outputs)} if event.outputs and event.eventType == "COMPLETE" else None


def _error(event: LineageEvent) -> str | None:
    if event.eventType != "FAIL" or event.run is None:
        return None
    facet = event.run.facets.errorMessage
    return "The run failed." if facet is None else facet.message or "The run failed."


def _context(event: LineageEvent, context: Context) -> Context:
    """When it happened by the producer's clock; who it was and with which other runs, where nobody says otherwise."""
    assert event.run is not None
    said: dict[str, Any] = {"occurred_at": event.eventTime}
    if context.actor is None and event.producer:
        said["actor"] = event.producer[:KEY_LENGTH]
    if context.correlation_id is None:
        parent = event.run.facets.parent
        outermost = event.run if parent is None else (parent.root or parent).run
        said["correlation_id"] = outermost.runId.lower()
    return make_context(context, **said)


def _accepted(answers: list[Any]) -> list[Any]:
    """The answers; raises what was refused for another reason than that the event came late, or again."""
    for answer in answers:
        if isinstance(answer, DuplicateKey) and not answer.deleted:
            continue
        if isinstance(answer, Exception) and not isinstance(answer, (IllegalTransition, CommandIdReused)):
            raise answer
    return answers


def _row(answers: list[Any]) -> Mapping[str, Any] | None:
    """The row after the last command that was accepted."""
    outcomes = [answer for answer in answers if isinstance(answer, Outcome)]
    return outcomes[-1].row if outcomes else None
