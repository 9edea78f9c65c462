"""`status`: the key facts of one execution."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ...infrastructure import ExecutionHistory
from .reading import Status
from .show_spans import progress_bar
from .show_text import (
    STATUS_STYLES,
    LedgerConsole,
    block,
    clean,
    duration,
    line,
    local_time,
    make_console,
    symbol,
    zone,
)

_LINES = 8
_VALUE_LENGTH = 200


def show(found: Status) -> None:
    """Print a panel, or plain lines where there is no terminal."""
    console = make_console()
    execution = found.execution
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(found, console):
        facts.add_row(name, value)
    heading = status_text(execution.status, console)
    if not console.is_terminal:
        console.print(Text.assemble(line(execution.job_id), "  ", heading))
        console.print(facts)
        return
    console.print(
        Panel(
            facts,
            title=Text.assemble((line(execution.job_id), "bold"), "  ", heading, style="not dim"),
            title_align="left",
            border_style="dim",
            padding=(0, 1),
            expand=False,
        )
    )


def status_text(status: str, console: LedgerConsole) -> Text:
    """A status with its sign and color."""
    return Text(f"{symbol(status, console)} {status.replace('_', ' ')}", STATUS_STYLES.get(status, ""))


def times(execution: ExecutionHistory) -> float | None:
    """Seconds from the start to the end, or until now."""
    if execution.started_at is None:
        return None
    return ((execution.completed_at or datetime.now(UTC)) - execution.started_at).total_seconds()


def _facts(found: Status, console: LedgerConsole) -> Iterator[tuple[str, RenderableType]]:
    execution, created = found.execution, found.created
    if execution.run_name:
        yield "Name", line(execution.run_name)
    yield "Number", str(execution.id)
    yield "When", _when(execution)
    by = line(created.actor or "unknown")
    if found.changed.actor not in (None, created.actor):
        by += f", last change by {line(found.changed.actor)}"
    yield "By", by
    if created.reason:
        yield "Why", line(created.reason)
    if execution.parent_job_id:
        yield "Part of", line(execution.parent_job_id)
    if execution.attempt > 1:
        yield "Attempt", str(execution.attempt)
    if execution.progress is not None:
        yield "Progress", progress_bar(execution.progress, console)
    if execution.message:
        yield "Message", block(execution.message, _LINES)
    if execution.error:
        yield "Error", Text.assemble(block(execution.error, _LINES), style=STATUS_STYLES["failed"])
    if execution.stop_reason:
        yield "Stopped", _stopped(execution)
    for name, value in (
        ("Result", execution.result),
        ("Partial", execution.partial_results),
        ("Late", execution.late_outcome),
    ):
        if value is not None:
            yield name, Text(brief(value))
    yield from _inputs(execution.inputs, execution.run_name)
    if execution.attributes:
        yield "Labels", Text(brief(execution.attributes))
    events = f"{execution.version} · execution-ledger timeline {line(execution.job_id)}"
    yield "Events", Text(events, overflow="fold")


def _when(execution: ExecutionHistory) -> Text:
    at, took = execution.started_at or execution.created_at, times(execution)
    text = Text(f"{local_time(at)} {zone()}")
    if took is not None:
        text.append(f", {'took' if execution.completed_at else 'for'} {duration(took)}")
    elif execution.completed_at is None:
        text.append(", not started")
    return text


def _stopped(execution: ExecutionHistory) -> Text:
    by = f" by {line(execution.stop_requested_by)}" if execution.stop_requested_by else ""
    return Text(f"{line(execution.stop_reason)}{by}")


def _inputs(inputs: Any, run_name: str | None) -> Iterator[tuple[str, Text]]:
    if not isinstance(inputs, dict):
        if inputs is not None:
            yield "Inputs", Text(brief(inputs))
        return
    rest = dict(inputs)
    match rest:
        case {"argv": [*words]}:
            command = line(shlex.join(map(str, words)))
            if command != line(run_name):
                yield "Command", Text(_cut(command))
            del rest["argv"]
        case {"steps": [*steps]} if all(isinstance(step, dict) for step in steps):
            yield "Steps", Text(_cut(line(" → ".join(str(step.get("name")) for step in steps))))
            del rest["steps"]
    if isinstance(rest.get("cwd"), str) and isinstance(rest.get("host"), str):
        yield "Where", Text(_cut(f"{line(rest.pop('cwd'))} on {line(rest.pop('host'))}"))
    if rest:
        yield "Inputs", Text(brief(rest))


def brief(value: Any) -> str:
    """A JSON value on one line, cut where it is long; an object as `key value` pairs."""
    if isinstance(value, dict):
        return _cut(" · ".join(f"{line(name)} {_plain(item)}" for name, item in value.items()))
    return _cut(_plain(value))


def _plain(value: Any) -> str:
    return line(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    text = clean(text)
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"
