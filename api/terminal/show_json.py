"""JSON for programs: `answers` has the types."""

from __future__ import annotations

import sys
from datetime import datetime
from io import TextIOWrapper
from typing import Any

import msgspec
from msgspec.structs import asdict

from ...infrastructure import ApiKey, ExecutionHistory, Reaped
from ...projections import Frame, ProjectionStatus, StatusSpan, StepSpan
from . import answers
from .reading import History, LedgerFacts, Numbers, Status, Story
from .show_text import write_out

_COLUMNS = answers.Execution.__struct_fields__


def show(answer: Any) -> None:
    """Print it, indented."""
    _print(msgspec.json.format(_encode(answer)))


def show_line(answer: Any) -> None:
    """Print it on a line of its own, at once."""
    _print(_encode(answer))


def _print(answer: bytes) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as RFC 8259 has it, whatever the terminal can show
    write_out(answer.decode() + "\n", sys.stdout)


def _encode(answer: Any) -> bytes:
    return msgspec.json.encode(answer, enc_hook=str)


def status(found: Status) -> Any:
    """The execution's fields, with who created it, why, and who changed it last."""
    return answers.Status(
        **_row(found.execution),
        created_by=found.created.actor,
        reason=found.created.reason,
        changed_by=found.changed.actor,
    )


def history(found: History) -> answers.History:
    """The page, how many there are with these filters, and how many in all by status."""
    return answers.History(
        executions=[_execution(each) for each in found.executions],
        total=found.total,
        next_cursor=found.next_cursor,
        statuses=found.summary.statuses,
    )


def timeline(found: Story) -> answers.Timeline:
    """The page of events, the spans of all events, and the execution as it is now (null where it was deleted)."""
    return answers.Timeline(
        job_id=found.timeline.job_id,
        execution=_execution(found.execution) if found.execution else None,
        statuses=[_status(span) for span in found.statuses],
        steps=[_step(span) for span in found.steps],
        events=found.timeline.events,
        next_version=found.timeline.next_version,
    )


def ledger(found: LedgerFacts) -> answers.Ledger:
    """The numbers of the ledger, and its root in hexadecimal digits."""
    return answers.Ledger(**asdict(found.summary), root=found.root.root.hex())


def numbers(found: Numbers) -> answers.Numbers:
    """The window, the numbers of all its runs and of each group, the commonest reasons and the longest runs."""
    window = found.window
    return answers.Numbers(
        ended_from=window.begin,
        ended_before=window.end,
        by=window.by,
        whole=found.whole,
        groups=found.groups,
        truncated=found.truncated,
        reasons=found.reasons,
        longest=found.longest,
    )


def frame(played: Frame) -> answers.Frame:
    """An event of a run that is played, and the row after it."""
    state = played.state
    row = None if state is None else answers.Execution(**{name: state[name] for name in _COLUMNS})
    return answers.Frame(at=played.at, event=played.event, execution=row)


def projection(found: ProjectionStatus) -> answers.Projection:
    """How far a projection is, with its lag."""
    return answers.Projection(**asdict(found), lag=found.lag, stopped=found.stopped)


def key(found: ApiKey, now: datetime) -> answers.Key:
    """A key, with whether it works."""
    return answers.Key(**asdict(found), state=found.state(now))


def reaped(run: Reaped) -> answers.ReapedRun:
    """A run that a reaper ended."""
    assert run.status is not None
    fields = run._asdict()
    return answers.ReapedRun(job_id=fields.pop("key"), **fields)


def _row(execution: ExecutionHistory) -> dict[str, Any]:
    return {name: getattr(execution, name) for name in _COLUMNS}


def _execution(execution: ExecutionHistory) -> Any:
    return answers.Execution(**_row(execution))


def _status(span: StatusSpan) -> answers.StatusTime:
    return answers.StatusTime(**asdict(span), seconds=span.seconds)


def _step(span: StepSpan) -> answers.StepTime:
    fields: dict[str, Any] = asdict(span) | {"steps": [_step(inner) for inner in span.steps]}
    return answers.StepTime(**fields, seconds=span.seconds)
