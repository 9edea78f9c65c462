"""JSON for programs: stable keys, times in UTC."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from ...infrastructure import ExecutionHistory
from ...projections import StepSpan
from .reading import History, LedgerFacts, Numbers, Status, Story
from .show_text import write_out


def show(answer: Any) -> None:
    """Print it, indented."""
    write_out(msgspec.json.format(msgspec.json.encode(answer)).decode() + "\n", sys.stdout)


def status(found: Status) -> dict[str, Any]:
    """The execution's fields, with who created it, why, and who changed it last."""
    return _execution(found.execution) | {
        "created_by": found.created.actor,
        "reason": found.created.reason,
        "changed_by": found.changed.actor,
    }


def history(found: History) -> dict[str, Any]:
    """The page, how many there are with these filters, and how many in all by status."""
    return {
        "executions": [_execution(each) for each in found.executions],
        "total": found.total,
        "next_cursor": found.next_cursor,
        "statuses": found.summary.statuses,
    }


def timeline(found: Story) -> dict[str, Any]:
    """The page of events, the spans of all events, and the execution as it is now (null where it was deleted)."""
    return {
        "job_id": found.timeline.job_id,
        "execution": _execution(found.execution) if found.execution else None,
        "statuses": [msgspec.structs.asdict(span) | {"seconds": span.seconds} for span in found.statuses],
        "steps": [_step(span) for span in found.steps],
        "events": found.timeline.events,
        "next_version": found.timeline.next_version,
    }


def ledger(found: LedgerFacts) -> dict[str, Any]:
    """The numbers of the ledger, and its root in hexadecimal digits."""
    return msgspec.structs.asdict(found.summary) | {"root": found.root.root.hex()}


def numbers(found: Numbers) -> dict[str, Any]:
    """The window, the numbers of all its runs and of each group, the commonest reasons and the longest runs."""
    window = found.window
    return {
        "ended_from": window.begin,
        "ended_before": window.end,
        "by": window.by,
        "whole": found.whole,
        "groups": found.groups,
        "reasons": found.reasons,
        "longest": found.longest,
    }


def _execution(execution: ExecutionHistory) -> dict[str, Any]:
    return {column.name: getattr(execution, column.name) for column in ExecutionHistory.__table__.columns}


def _step(span: StepSpan) -> dict[str, Any]:
    fields = msgspec.structs.asdict(span)
    return fields | {"seconds": span.seconds, "steps": [_step(inner) for inner in span.steps]}
