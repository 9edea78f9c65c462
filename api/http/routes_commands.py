"""Commands on one execution: status changes, corrections, steps and notes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from . import problem_docs
from .answers import Execution
from .authentication import WRITE
from .commands import COMMANDS, HttpCommand
from .dependencies import CallContext, ChangeOptions, ExecutionId, StepId, Writer, with_body
from .json_route import JsonRoute, takes
from .responses import written_response
from .schemas import Body, Correction, LateOutcome, NoteBody, StepBegin, StepEnd, body_model

router = APIRouter(prefix="/executions/{execution_id}", route_class=JsonRoute)

STATUS_BODIES = {
    command.path: body_model(
        "".join(word.title() for word in command.path.split("-")),
        command.fields,
        required=command.required,
        example=command.example,
    )
    for command in COMMANDS
}
"""What each command of the table takes, by its path."""


def _add_command(command: HttpCommand) -> None:
    model = STATUS_BODIES[command.path]

    @takes(model if command.required else model | None)
    async def change_status(
        execution_id: ExecutionId,
        executions: Writer,
        options: ChangeOptions,
        body: Any = ... if command.required else None,
    ) -> Response:
        fields = {} if body is None else body.given()
        options = with_body(options, body)
        if command.event is None:
            changed = await executions.update_execution(execution_id, fields, **options)
        else:
            changed = await executions.transition(execution_id, command.event, fields, **options)
        return written_response(executions, changed)

    router.add_api_route(
        f"/{command.path}",
        change_status,
        methods=["POST"],
        operation_id=command.operation_id,
        dependencies=WRITE,
        summary=command.summary,
        description=f"Records `execution.{command.event or 'progressed'}`. Where that is the status already, nothing.",
        tags=["status"],
        response_model=Execution,
        responses=problem_docs.CHANGE,
    )


for _command in COMMANDS:
    _add_command(_command)


@router.post(
    "/correct",
    operation_id="correct_execution",
    dependencies=WRITE,
    summary="Set fields in spite of the rules",
    tags=["status"],
    response_model=Execution,
    responses=problem_docs.CHANGE,
)
@takes(Correction)
async def correct_execution(
    execution_id: ExecutionId, body: Body, executions: Writer, options: ChangeOptions, context: CallContext
) -> Response:
    """For a record that is wrong. It needs a reason, in the body or in `X-Reason`, and is an event of its own kind."""
    said: Any = with_body(options, body)
    said["reason"] = body.reason or context.get("reason") or ""
    corrected = await executions.correct_execution(execution_id, body.given(), **said)
    return written_response(executions, corrected)


@router.post(
    "/late-outcome",
    operation_id="report_late_outcome",
    dependencies=WRITE,
    summary="Keep what a worker reports after the end",
    tags=["status"],
    response_model=Execution,
    responses=problem_docs.CHANGE,
)
async def report_late_outcome(
    execution_id: ExecutionId, body: LateOutcome, executions: Writer, options: ChangeOptions
) -> Response:
    """The status stays; the outcome is kept as `late_outcome`."""
    reported = await executions.report_late_outcome(execution_id, **body.given(), **with_body(options, body))
    return written_response(executions, reported)


@router.post(
    "/steps",
    operation_id="start_step",
    dependencies=WRITE,
    summary="Begin a step",
    tags=["steps and notes"],
    response_model=Execution,
    responses=problem_docs.STEP,
)
async def start_step(
    execution_id: ExecutionId, body: StepBegin, executions: Writer, options: ChangeOptions
) -> Response:
    """Inside `parent_step_id`, or directly in the run."""
    begun = await executions.start_step(execution_id, **body.given(), **with_body(options, body))
    return written_response(executions, begun)


@router.post(
    "/steps/{step_id}/finish",
    operation_id="finish_step",
    dependencies=WRITE,
    summary="End a step",
    tags=["steps and notes"],
    response_model=Execution,
    responses=problem_docs.STEP,
)
async def finish_step(
    execution_id: ExecutionId,
    step_id: StepId,
    executions: Writer,
    options: ChangeOptions,
    body: StepEnd | None = None,
) -> Response:
    """As `completed`, unless the body says otherwise."""
    fields = {} if body is None else body.given()
    ended = await executions.finish_step(execution_id, step_id, **fields, **with_body(options, body))
    return written_response(executions, ended)


@router.post(
    "/notes",
    operation_id="add_note",
    dependencies=WRITE,
    summary="Keep a remark",
    tags=["steps and notes"],
    response_model=Execution,
    responses=problem_docs.STEP,
)
async def add_note(execution_id: ExecutionId, body: NoteBody, executions: Writer, options: ChangeOptions) -> Response:
    """A line of output, a traceback, a word; of the run or of one of its steps, also after the end."""
    noted = await executions.add_note(execution_id, **body.given(), **with_body(options, body))
    return written_response(executions, noted)
