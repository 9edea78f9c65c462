"""OpenLineage events as commands on executions: a run is an execution whose job id is the run id.

Every event leaves a note that has it whole, with its own time. Sent again, it is known by what it says: recorded once.
An event that comes late or out of order changes no status back: what a run reports after its end is its late outcome.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

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
    VersionConflict,
    make_context,
)
from ...domain.limits import KEY_LENGTH, Limits
from ...domain.status import TERMINAL
from ...domain.values import check_time
from ...infrastructure import GroupWriter, Outcome, Request
from .lineage_schemas import LineageEvent, datasets

SOURCE = "openlineage"
_ENDS = {"COMPLETE": "completed", "FAIL": "failed", "ABORT": "cancelled"}
_BEGINS = frozenset({"START", "RUNNING", *_ENDS})
_CORRECTION, _LATE = 8, 9
"""Tell these commands of an event from those that it gives in any case, which are numbered from 0."""
_BESIDE = 1024
"""Bytes that our events say beside what is the producer's."""


async def record_all(
    writer: GroupWriter, ledger: str, events: Iterable[Any], context: Context, limits: Limits
) -> list[LedgerError | None]:
    """Record events of decoded JSON, together and in their order; of each, why it was refused, or None."""

    async def tell(raw: Any) -> _Told | LedgerError | None:
        try:
            return await _tell(writer, ledger, parse(raw), raw, context, limits)
        except LedgerError as error:
            return error

    async def complete(run: Mapping[int, _Told]) -> None:
        # One after the other: what one has told is no news of the next.
        row = _newest([answer for each in run.values() for answer in each.answers])
        for at, each in run.items():
            try:
                row = _newest([await _complete(writer, ledger, each, row)], row)
            except LedgerError as error:
                refused[at] = error

    # Each sends its commands before it first waits: so they are written in this order.
    told = await asyncio.gather(*map(tell, events))
    refused = [each if isinstance(each, LedgerError) else None for each in told]
    runs: dict[str, dict[int, _Told]] = defaultdict(dict)
    for at, each in enumerate(told):
        if isinstance(each, _Told):
            runs[each.run_id][at] = each
    await asyncio.gather(*map(complete, runs.values()))
    return refused


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
    told = await _tell(writer, ledger, event, raw, context, limits)
    return None if told is None else await _complete(writer, ledger, told, _newest(told.answers))


class _Told(NamedTuple):
    """An event whose commands are answered."""

    event: LineageEvent
    run_id: str
    time: datetime
    known: dict[str, Any]
    key: str
    """Begins the ids of its commands."""
    context: Context
    answers: Sequence[Any]

    def request(self, ledger: str, command: Command, at: int, context: Context | None = None, **more: Any) -> Request:
        """One of its commands, which `at` tells from the others."""
        return Request(ledger, self.run_id, command, context or self.context, command_id=f"{self.key}-{at}", **more)


async def _tell(
    writer: GroupWriter, ledger: str, event: LineageEvent, raw: dict[str, Any], context: Context, limits: Limits
) -> _Told | None:
    """Send what the event says whatever was said before; None for one that is of no run."""
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
    key, run_id = f"{SOURCE}-{sha256(encoded).hexdigest()}", event.run.runId.lower()
    told = _Told(event, run_id, time, known, key, _context(event, context), [])
    requests = [told.request(ledger, command, at) for at, command in enumerate(commands)]
    return told._replace(answers=_accepted(await writer.execute_together(requests, rows=True)))


async def _complete(writer: GroupWriter, ledger: str, told: _Told, row: Mapping[str, Any] | None) -> Outcome | None:
    """Send what depends on what was said before: what the event knows better than the row, and an end that is late."""
    look = Request(ledger, told.run_id, Update.of({}), told.context)
    if row is None:  # somebody else, another actor, recorded this very event, or the run is deleted
        return await writer.execute(look)
    outcome = _last(told.answers)
    reason = told.context.reason or "OpenLineage told of it later"
    while news := _news(told, row):  # another event came before it
        said = make_context(told.context, reason=reason)
        correct = told.request(ledger, Correct.of(news), _CORRECTION, said, expected_version=row["version"])
        answers = await writer.execute_together([correct], rows=True)
        if isinstance(answers[0], VersionConflict):  # and another one meanwhile: it may have told the same
            outcome = await writer.execute(look)
            if outcome is None or outcome.row is None:
                return outcome
            row = outcome.row
            continue
        outcome = _last(_accepted(answers)) or outcome
        break  # also where this was known already as the correction of this event
    end, refused = _ENDS.get(told.event.eventType or ""), told.answers[-1]
    if end is not None and end != row["status"] and isinstance(refused, IllegalTransition):
        if refused.source not in TERMINAL:  # it waits for a person, whom nobody overrules
            raise refused
        late = ReportLateOutcome.of(end, _result(told.event), _error(told.event))
        answers = await writer.execute_together([told.request(ledger, late, _LATE)], rows=True)
        outcome = _last(_accepted(answers)) or outcome
    return outcome


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


def _news(told: _Told, row: Mapping[str, Any]) -> dict[str, Any]:
    """What the row does not know, and the times in it that are later than the event shows that they were."""
    news = {name: value for name, value in told.known.items() if row[name] is None}
    begun = ("created_at", "started_at") if told.event.eventType in _BEGINS else ("created_at",)
    return news | {name: told.time for name in begun if row[name] is not None and told.time < row[name]}


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


def _accepted(answers: Sequence[Any]) -> Sequence[Any]:
    """The answers; raises what was refused for another reason than that the event came late, or again."""
    for answer in answers:
        if isinstance(answer, DuplicateKey) and not answer.deleted:
            continue
        if isinstance(answer, Exception) and not isinstance(answer, (IllegalTransition, CommandIdReused)):
            raise answer
    return answers


def _last(answers: Sequence[Any]) -> Outcome | None:
    """The last outcome among the answers."""
    return next((answer for answer in reversed(answers) if isinstance(answer, Outcome)), None)


def _newest(answers: Sequence[Any], row: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
    """The row as the last of the answers knows it, or as it was known before."""
    rows = [answer.row for answer in answers if isinstance(answer, Outcome) and answer.row is not None]
    return max(rows if row is None else [row, *rows], key=lambda row: row["version"], default=None)
