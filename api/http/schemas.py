"""What bodies may hold: models made from the domain's table of fields, which alone says what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model

from ...domain import FIELDS, TERMINAL, ExecutionStatus, NoteLevel, StepOutcome
from ...domain.limits import KEY_LENGTH, REASON_LENGTH

DESCRIPTIONS: dict[str, str] = {
    "job_id": "The caller's own id of the run, unique in the ledger for ever; made if left out.",
    "status": "Where the run stands. Accepted in any case; it changes only as the table of transitions allows.",
    "inputs": "What the run was given: any JSON.",
    "result": "What the run gave: any JSON.",
    "error": "Why it failed.",
    "message": "A word for people about the present state.",
    "run_name": "A name for people.",
    "trigger_type": "What started it, as `schedule` or `manual`.",
    "execution_type": "What kind of run it is, as `crew`, `flow` or `script`.",
    "parent_job_id": "The job id of the run that this one belongs to.",
    "attempt": "Which attempt at the same work this is, from 1.",
    "progress": "How far it came, from 0 to 1.",
    "created_at": "When it was created; now, if left out.",
    "started_at": "When it began to run.",
    "completed_at": "When it ended; set for every terminal status and only for those.",
    "stop_reason": "Why it was asked to stop.",
    "stop_requested_by": "Who asked it to stop.",
    "partial_results": "What there was when it ended early: any JSON.",
    "late_outcome": "What a worker reported after the run had already ended.",
    "group_email": "The group it belongs to.",
    "attributes": "Whatever the caller adds: a JSON object. Executions can be found by its plain values.",
}


def one_of(values: Iterable[str]) -> WithJsonSchema:
    """Told in the document; checked by the domain, which takes any case and names what it knows."""
    return WithJsonSchema({"type": "string", "enum": [str(value) for value in values]})


def _whole(value: Any) -> Any:
    """To JSON 1.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Key = Annotated[str, Field(min_length=1, max_length=KEY_LENGTH)]
Natural = Annotated[int, Field(ge=0, le=2**63 - 1), BeforeValidator(_whole)]
Ordinal = Annotated[int, Field(ge=1, le=2**63 - 1), BeforeValidator(_whole)]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
TraceId = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^(?!0{32})[0-9a-f]{32}$"})]
Status = Annotated[str, one_of(ExecutionStatus)]
Outcome = Annotated[str, one_of(sorted(TERMINAL))]

_KINDS: dict[str, Any] = {
    "json": Any,
    "object": dict[str, Any],
    "time": Time,
    "integer": Ordinal,
    "fraction": Annotated[float, Field(ge=0, le=1)],
    "status": Status,
}


def field_type(name: str, *, nullable: bool) -> Any:
    """The type of one field of an execution."""
    field = FIELDS[name]
    bounded = field.max_length <= REASON_LENGTH  # longer text is bounded by the payload as a whole
    text = Annotated[
        str, Field(min_length=None if field.nullable else 1, max_length=field.max_length if bounded else None)
    ]
    kind = _KINDS.get(field.kind, text)
    return kind | None if nullable and kind is not Any else kind


class StrictBody(BaseModel):
    """A body whose types are what they say, and which has nothing else."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Body(StrictBody):
    """What every command may say beside its own fields."""

    reason: str | None = Field(
        None, min_length=1, max_length=REASON_LENGTH, description="Why; comes before the header X-Reason."
    )
    occurred_at: Time | None = Field(
        None, description="When it happened, by the reporter's clock; the ledger's own is recorded beside it."
    )
    trace_id: TraceId | None = Field(
        None,
        description="W3C trace id; comes before that of the header traceparent, and is each item's own in a batch.",
    )

    def given(self) -> dict[str, Any]:
        """The command's own fields, as far as they were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set - Body.model_fields.keys()}


def body_model(
    name: str, fields: Iterable[str], *, required: Iterable[str] = (), creating: bool = False, example: Any = None
) -> type[Body]:
    """A body of these fields of an execution."""
    required = frozenset(required)
    columns = {
        field: (
            field_type(field, nullable=creating or FIELDS[field].nullable),
            Field(... if field in required else None, description=DESCRIPTIONS[field]),
        )
        for field in fields
    }
    model = create_model(name, __base__=Body, **cast(Any, columns))
    if example is not None:
        model.model_config["json_schema_extra"] = {"examples": [example]}
    model.model_rebuild(force=True)
    return model


_EXAMPLE = {
    "job_id": "report-2026-01-31",
    "run_name": "Monthly report",
    "inputs": {"month": "2026-01"},
    "attributes": {"team": "finance"},
}
ExecutionCreate = body_model(
    "ExecutionCreate", (name for name, field in FIELDS.items() if field.create), creating=True, example=_EXAMPLE
)
ExecutionUpdate = body_model(
    "ExecutionUpdate",
    (name for name, field in FIELDS.items() if field.update),
    example={"run_name": "Monthly report, second try", "reason": "the first name misled"},
)
Correction = body_model(
    "Correction",
    (name for name, field in FIELDS.items() if field.update),
    example={"status": "failed", "error": "the file was empty", "reason": "the worker exited 0 without writing"},
)


class LateOutcome(Body):
    """What a worker reports after the end."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "completed", "result": {"rows": 7}}]},
    )

    status: Outcome
    result: Any = Field(None, description=DESCRIPTIONS["result"])
    error: str | None = Field(None, description=DESCRIPTIONS["error"])


class StepBegin(Body):
    """A step that begins."""

    step_id: Key = Field(description="The caller's id of the step, unique in the run.", examples=["extract"])
    name: Key | None = Field(None, description="What people read; the id if left out.")
    kind: Key | None = Field(None, description="As `task`, `tool` or `shell`.")
    parent_step_id: Key | None = Field(None, description="The open step that this one lies in.")
    attributes: dict[str, Any] | None = None
    started_at: Time | None = None


class StepEnd(Body):
    """A step that ends."""

    outcome: Annotated[str, one_of(StepOutcome)] = "completed"
    result: Any = None
    error: str | None = None
    finished_at: Time | None = None


class NamedStepEnd(StepEnd):
    """The same in a batch, where no path names the step."""

    step_id: Key


class NoteBody(Body):
    """Something worth keeping: a remark, a line of output, a traceback."""

    text: str = Field(min_length=1, examples=["3 of 10 files read"])
    level: Annotated[str, one_of(NoteLevel)] = "info"
    source: Key | None = Field(None, description="Where the text comes from, as `stdout`.")
    step_id: Key | None = Field(None, description="The step it belongs to.")
    data: Any = None
