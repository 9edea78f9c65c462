"""`timeline`: what happened in one execution."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from ...projections import RecordedEvent
from .reading import Story
from .show_spans import chart, legend
from .show_status import brief, status_text
from .show_text import STATUS_STYLES, LedgerConsole, block, count, duration, line, local_time, make_console, zone

_NOTE_LINES = {"short": 6, "full": None}
_EVENT_STATUS = {
    "created": "pending",
    "prepared": "preparing",
    "started": "running",
    "progressed": "running",
    "approval_requested": "waiting_for_approval",
    "approved": "running",
    "stop_requested": "stopping",
    "late_outcome": "stopping",
    "corrected": "stopping",
    "deleted": "stopping",
}
"""The status whose color an event has, where it is not its own name."""
_NOTE_STYLES = {"warning": "yellow", "error": "red", "debug": "dim"}


def show(found: Story, notes: str) -> None:
    """Print the heading, the bars, the events and where to go on."""
    console = make_console()
    events = found.timeline.events
    begin = found.first.at
    last = found.statuses[-1] if found.statuses else None
    ended = last is not None and found.execution is not None and found.execution.completed_at is not None
    end = last.started_at if last is not None and (ended or found.execution is None) else datetime.now(UTC)
    console.print(_heading(found, console))
    console.print()
    console.print(chart(found.statuses, found.steps, begin, max([end, *_ends(found)]), console))
    console.print(legend(found.statuses, end))
    shown = [event for event in events if notes != "none" or event.name != "noted"]
    shown.sort(key=lambda event: event.at)  # output is recorded a moment after it was seen
    if shown:
        console.print()
        console.print(_table(shown, begin, _NOTE_LINES.get(notes), console))
    console.print()
    console.print(_footer(found, len(events) - len(shown)), soft_wrap=True)


def _ends(found: Story) -> list[datetime]:
    return [span.finished_at for span in found.steps if span.finished_at]


def _heading(found: Story, console: LedgerConsole) -> Text:
    execution, created = found.execution, found.first
    text = Text.assemble((line(found.timeline.job_id), "bold"), "  ")
    if execution is None:
        text.append("deleted", "yellow")
    else:
        text.append_text(status_text(execution.status, console))
    facts = [line(execution.run_name)] if execution is not None and execution.run_name else []
    facts.append(f"{local_time(created.at)} {zone()}")
    if created.actor:
        facts.append(f"by {line(created.actor)}")
    if execution is not None and execution.parent_job_id:
        facts.append(f"part of {line(execution.parent_job_id)}")
    if execution is not None and execution.attempt > 1:
        facts.append(f"attempt {execution.attempt}")
    return text.append("\n" + " · ".join(facts), "dim")


def _table(events: list[RecordedEvent], begin: datetime, lines: int | None, console: LedgerConsole) -> Table:
    who = len({event.actor for event in events}) > 1
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("After", justify="right", style="dim", no_wrap=True)
    if who:
        table.add_column("Who", no_wrap=True, overflow="ellipsis", max_width=16)
    table.add_column("Event", no_wrap=True)
    table.add_column("", overflow="fold")
    previous: RecordedEvent | None = None
    for group in _groups(events, together=lines is not None):
        event = group[0]
        same = previous is not None and previous.actor == event.actor and console.is_terminal
        name, details = describe(group, lines)
        if event.reason:
            details = Text.assemble(details, "\n" if details else "", ("why: " + line(event.reason), "italic"))
        actor = [Text("" if same else line(event.actor or "-"))] if who else []
        table.add_row(_after(event.at - begin), *actor, name, details)
        previous = event
    return table


def _groups(events: list[RecordedEvent], *, together: bool) -> list[list[RecordedEvent]]:
    """Events one by one; with `together`, output that follows on output of the same stream belongs to it."""
    groups: list[list[RecordedEvent]] = []
    for event in events:
        if together and groups and _stream(event) is not None and _stream(event) == _stream(groups[-1][0]):
            groups[-1].append(event)
        else:
            groups.append([event])
    return groups


def _stream(event: RecordedEvent) -> tuple[Any, ...] | None:
    data = event.data or {}
    if event.name != "noted" or data.get("source") not in ("stdout", "stderr") or event.reason:
        return None
    return data["source"], data.get("step_id"), data.get("level"), event.actor


def describe(group: list[RecordedEvent], lines: int | None) -> tuple[Text, Text]:
    """What happened, and the details; of a group the text of all of them."""
    event = group[0]
    data: dict[str, Any] = event.data or {}
    style = STATUS_STYLES.get(_EVENT_STATUS.get(event.name, event.name), "")
    name = Text(event.name.replace("_", " "), style)
    if event.data is None:
        return name, Text("erased", "dim italic")
    match event.name:
        case "noted":
            return _note(group, data, lines)
        case "step_started":
            return Text("step"), Text(f"{line(data['name'])} started")
        case "step_finished":
            outcome = Text(data["outcome"], STATUS_STYLES.get(data["outcome"], ""))
            details = Text.assemble(f"{line(data['step_id'])} ", outcome)
            # Its last lines are on the screen already, as output.
            error = _text(data.get("error"), None if lines is None else 1)
            return Text("step"), Text.assemble(details, "\n" if error else "", error)
        case "created":
            return name, Text(line(data.get("run_name") or ""))
        case "progressed":
            done = f"{data['progress']:.0%}" if data.get("progress") is not None else ""
            return name, Text(" · ".join(filter(None, (done, line(data.get("message") or "")))))
        case "late_outcome":
            return name, Text(brief(data.get("late_outcome")))
        case "details_changed" | "corrected":
            return name, Text(brief(data))
    parts = [_text(data.get(field), lines) for field in ("error", "stop_reason", "message") if data.get(field)]
    if data.get("result") is not None:
        parts.append(Text(brief(data["result"]), "dim"))
    return name, Text("\n").join(parts)


def _note(group: list[RecordedEvent], data: dict[str, Any], lines: int | None) -> tuple[Text, Text]:
    style = _NOTE_STYLES.get(data.get("level", ""), "")
    source = data.get("source")
    return Text(line(source or "note"), style or "dim"), Text.assemble(
        block("".join((each.data or {}).get("text", "") for each in group), lines), style=style
    )


def _text(value: Any, lines: int | None) -> Text:
    return block(value, lines) if value else Text()


def _after(passed: timedelta) -> str:
    seconds = max(passed.total_seconds(), 0)
    return f"{seconds:.3f} s" if seconds < 60 else duration(seconds)


def _footer(found: Story, hidden: int) -> Text:
    total = found.execution.version if found.execution else None
    events = found.timeline.events
    page = f"{count(len(events), 'event')}{f' of {total:,}' if total and total > len(events) else ''}"
    text = Text(page)
    if hidden:
        text.append(f", {count(hidden, 'note')} not shown")
    text.append(f" · times in {zone()}", "dim")
    if found.timeline.next_version:
        more = f"execution-ledger timeline {line(found.timeline.job_id)} --from {found.timeline.next_version}"
        text.append(f"\nmore: {more}", "dim")
    return text
