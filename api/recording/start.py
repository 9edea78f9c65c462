"""The beginning of `record`: the execution is created and started, and the command will know of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import make_url

from ...domain import Create, DuplicateJobId, StartStep
from ...domain.limits import KEY_LENGTH
from ...infrastructure import Lease, Settings
from ...infrastructure.stopwatch import Stopwatch
from ..jobs import find_execution
from ..runtime import sqlite_file
from .arguments import Plan, text
from .backends import Backend

JOB_VARIABLE = "EXECUTION_LEDGER_JOB_ID"
STEP_VARIABLE = "EXECUTION_LEDGER_STEP_ID"
_URL_VARIABLE = "EXECUTION_LEDGER_URL"


class Begun(NamedTuple):
    """What was begun, and the lease that it is ours by."""

    job_id: str
    lease: Lease
    since: Stopwatch
    """Started before the lease was taken."""


async def begin(plan: Plan, backend: Backend, ttl: float) -> Begun:
    """Create and start the execution, and take its lease."""
    for step in plan.steps:
        if step.name is not None:
            StartStep.of(step.name)  # refused now, or it would be in the middle
    data = {
        "run_name": plan.run_name,
        "trigger_type": "command_line",
        "execution_type": "steps" if plan.steps[0].name is not None else "command",
        "attempt": plan.attempt,
        "inputs": plan.inputs | _inputs(plan),
    }
    attributes: dict[str, str] = dict(plan.attributes)
    if parent := plan.parent or os.environ.get(JOB_VARIABLE):
        data["parent_job_id"] = text(parent)
    if plan.parent is not None and plan.parent.isdecimal():
        async with backend.executions(together=False) as executions:
            if (found := await find_execution(executions, plan.parent)) is not None:
                data["parent_job_id"] = found.job_id
    if plan.parent is None and (step := os.environ.get(STEP_VARIABLE)):
        attributes.setdefault("parent_step_id", text(step))
    if attributes:
        data["attributes"] = attributes
    holder = text(f"record {os.getpid()} on {socket.gethostname()}")[:KEY_LENGTH]
    while True:
        since, data["job_id"] = Stopwatch(), plan.new_job_id() if plan.job_id is None else plan.job_id
        Create.of(data)  # refused in the same words, wherever it is recorded
        try:
            lease = await backend.begin(data, reason=plan.reason, holder=holder, ttl=ttl)
            return Begun(data["job_id"], lease, since)
        except DuplicateJobId:
            if plan.job_id is not None:
                raise


def _inputs(plan: Plan) -> dict[str, Any]:
    commands = [[text(word) for word in step.argv] for step in plan.steps]
    if plan.steps[0].name is None:
        ran: dict[str, Any] = {"argv": commands[0]}
    else:
        ran = {"steps": [{"name": step.name, "argv": argv} for step, argv in zip(plan.steps, commands, strict=True)]}
    return ran | {"cwd": _cwd(), "host": socket.gethostname()}


def _cwd() -> str | None:
    try:
        return text(os.getcwd())
    except OSError:  # it was removed
        return None


def environment(settings: Settings, job_id: str) -> dict[str, str]:
    """Variables of the command: with them a `record` inside it finds the same ledger, and its parent."""
    variables = dict(os.environ) | {JOB_VARIABLE: job_id}
    if settings.url is not None:
        variables[_URL_VARIABLE] = settings.url
    else:
        variables.pop(_URL_VARIABLE, None)
        variables["EXECUTION_LEDGER_DATABASE_URL"] = _absolute(settings.database_url)
    if settings.url is None or "ledger" in settings.model_fields_set:  # else it is that of the service or of the key
        variables["EXECUTION_LEDGER_LEDGER"] = settings.ledger
    if settings.actor is not None:
        variables["EXECUTION_LEDGER_ACTOR"] = settings.actor
    variables.pop(STEP_VARIABLE, None)
    return variables


def _absolute(url: str) -> str:
    """The URL as it means the same in every folder."""
    file = sqlite_file(url)
    if file is None:
        return url
    return make_url(url).set(database=str(Path(file).absolute())).render_as_string(hide_password=False)
