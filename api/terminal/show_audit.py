"""`audit`: who did what, when and why, and what it changed."""

from __future__ import annotations

import msgspec
from rich.table import Table
from rich.text import Text

from ...projections import AuditedEvent, EventPage
from .show_status import brief
from .show_text import count, joined, line, local_time, make_console, zone
from .show_timeline import describe

_VALUE = 60


def show(page: EventPage) -> None:
    """Print a table, and where to go on."""
    console = make_console()
    if not page.events and page.complete:
        console.print(Text("No such event.", "dim"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("#", justify="right", no_wrap=True, style="dim")
    table.add_column("Recorded", no_wrap=True, style="dim")
    table.add_column("Who", no_wrap=True, overflow="ellipsis", max_width=20)
    table.add_column("Job", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("Event", no_wrap=True)
    table.add_column("What it changed, and why", overflow="fold")
    for each in page.events:
        event = each.event
        name, _ = describe([event], 1)
        who, job = line(event.actor or "-"), line(event.job_id)
        table.add_row(str(event.position), local_time(event.recorded_at), who, job, name, _changes(each))
    if page.events:
        console.print(table)
    footer = Text(f"{count(len(page.events), 'event')} · times in {zone()}", "dim")
    if not page.complete:
        footer.append(f"\n{page.scanned:,} events were looked at, and there are more", "yellow")
    if page.next_cursor is not None:
        footer.append(f"\nmore: the same with --cursor {page.next_cursor}", "dim")
    console.print(footer, soft_wrap=True)


def _changes(audited: AuditedEvent) -> Text:
    event = audited.event
    if event.data is None:
        return Text("erased", "dim italic")
    parts = []
    for field, change in audited.changes.items():
        before, after = (Text("-" if value is None else _short(value)) for value in (change.before, change.after))
        parts.append(Text.assemble((f"{line(field)} ", "dim"), before, (" → ", "dim"), after))
    if not parts:
        _, details = describe([event], 1)
        parts = [details] if details else []
    if event.reason:
        parts.append(Text(f"why: {line(event.reason)}", "italic"))
    return joined("\n", parts)


def _short(value: object) -> str:
    text = brief(msgspec.to_builtins(value))  # a time as text, as it comes from a service
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"
