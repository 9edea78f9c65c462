"""Many executions, or many commands, in one request, with an answer for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, ValidationError

from ...domain import (
    Context,
    Create,
    InvalidInput,
    LedgerError,
    UnknownExecution,
    make_context,
)
from ...domain.limits import KEY_LENGTH
from ...infrastructure import Outcome
from ...infrastructure import Request as Asked
from . import problem_docs
from .answers import BatchAnswer
from .authentication import WRITE
from .commands import make_command
from .dependencies import CallContext, CreateOptions, LedgerName
from .json_route import JsonRoute
from .problems import explain, problem_body
from .responses import json_response, row_body
from .routes_commands import STATUS_BODIES
from .schemas import (
    Body,
    Correction,
    ExecutionCreate,
    ExecutionUpdate,
    Key,
    LateOutcome,
    NamedStepEnd,
    Natural,
    NoteBody,
    Ordinal,
    StepBegin,
    StrictBody,
    one_of,
)

router = APIRouter(tags=["batches"], route_class=JsonRoute)

MOST = 1_000
"""Items of one request."""

_LONGEST_KEY = KEY_LENGTH - len(f"#{MOST}")
"""Characters of an `Idempotency-Key` that leave room for the number of an item."""

BODIES: dict[str, type[Body]] = {
    **STATUS_BODIES,
    "update": ExecutionUpdate,
    "correct": Correction,
    "late-outcome": LateOutcome,
    "start-step": StepBegin,
    "finish-step": NamedStepEnd,
    "note": NoteBody,
    "delete": Body,
}
"""What can be commanded, with the body that it takes."""


class NewExecutions(StrictBody):
    """Executions to record."""

    executions: list[ExecutionCreate] = Field(min_length=1, max_length=MOST)  # type: ignore[valid-type]


class OneCommand(StrictBody):
    """A command on one execution."""

    execution_id: Key = Field(description="The caller's job id.")
    command: Annotated[str, one_of(BODIES)] = Field(description="As the last part of its own route.")
    body: dict[str, Any] = Field({}, description="As its own route takes it; `finish-step` with its `step_id`.")
    expected_version: Natural | None = None
    lease: Ordinal | None = Field(None, description="The token of your lease.")
    idempotency_key: Key | None = None


class Commands(StrictBody):
    """Commands, those of one execution in order."""

    commands: list[OneCommand] = Field(
        min_length=1,
        max_length=MOST,
        examples=[[{"execution_id": "report-1", "command": "complete", "body": {"result": {"rows": 7}}}]],
    )


@router.post(
    "/executions:batch",
    operation_id="create_executions",
    summary="Record many executions",
    dependencies=WRITE,
    response_model=BatchAnswer,
    responses=problem_docs.BATCH,
)
async def create_executions(
    body: NewExecutions, request: Request, ledger: LedgerName, context: CallContext, options: CreateOptions
) -> Response:
    """Each succeeds or fails alone. With an `Idempotency-Key`, the whole can be sent again."""
    key, base = options.get("command_id"), make_context(Context(), **context)
    if key is not None and len(key) > _LONGEST_KEY:
        key = sha256(key.encode()).hexdigest()

    def ask(at: int, item: Any) -> Asked:
        data = item.given()
        command_id = None if key is None else f"{key}#{at}"
        return Asked(ledger, data.get("job_id"), Create.of(data), _said(base, item), command_id=command_id)

    return await _execute(request, body.executions, ask, 201)


@router.post(
    "/commands:batch",
    operation_id="send_commands",
    summary="Send many commands",
    dependencies=WRITE,
    response_model=BatchAnswer,
    responses=problem_docs.BATCH,
)
async def send_commands(body: Commands, request: Request, ledger: LedgerName, context: CallContext) -> Response:
    """Each succeeds or fails alone; those of one execution are decided in their order."""
    base = make_context(Context(), **context)

    def ask(_: int, item: OneCommand) -> Asked:
        checked = _check(item)
        return Asked(
            ledger,
            item.execution_id,
            make_command(item.command, checked.given()),
            _said(base, checked),
            expected_version=item.expected_version,
            command_id=item.idempotency_key,
            lease=item.lease,
        )

    return await _execute(request, body.commands, ask, 200)


def _check(item: OneCommand) -> Body:
    model = BODIES.get(item.command)
    if model is None:
        raise InvalidInput(
            field="command", problem=f"{item.command[:40]!r} is unknown", remedy=f"Use: {', '.join(BODIES)}."
        )
    try:
        return model.model_validate(item.body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidInput(
            field=where[:80], problem=first["msg"], remedy=f"Send what `{item.command}` takes."
        ) from error


def _said(base: Context, body: Body) -> Context:
    """The circumstances of the request, with what an item says of its own."""
    return make_context(base, reason=body.reason, occurred_at=body.occurred_at, trace_id=body.trace_id)


async def _execute(request: Request, items: Sequence[Any], ask: Callable[[int, Any], Asked], done: int) -> Response:
    """Send all that is well formed to the writer, and put the answers in their places."""
    asked: list[Asked | LedgerError] = []
    for at, item in enumerate(items):
        try:
            asked.append(ask(at, item))
        except LedgerError as error:
            asked.append(error)
    sent = [each for each in asked if isinstance(each, Asked)]
    answers = iter(await request.app.state.writer.execute_together(sent, rows=True))
    results = []
    for each in asked:
        answer = next(answers) if isinstance(each, Asked) else each
        if answer is None and isinstance(each, Asked):
            answer = UnknownExecution(ledger=each.ledger, target=each.target or "")
        results.append(_result(answer, done))
    return json_response({"results": results})


def _result(answer: Outcome | Exception | None, done: int) -> dict[str, Any]:
    if isinstance(answer, Outcome):
        row = None if answer.row is None else row_body(answer.row)
        return {"status": done, "execution": row, "problem": None}
    if not isinstance(answer, LedgerError):
        assert answer is not None
        raise answer
    problem = problem_body(*explain(answer))
    return {"status": problem["status"], "execution": None, "problem": problem}
