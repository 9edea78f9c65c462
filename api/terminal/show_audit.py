"""`audit`: who did what, when and why, and what it changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...projections import AuditedEvent, EventPage
from .show_status import brief
from .show_text import LedgerConsole, count, joined, line, local_time, make_console, zone
from .show_timeline import describe

_VALUE = 60
_ROOMY = 110
"""Columns from which on an event is a row."""


def show(page: EventPage) -> None:
    """Print a table, and where to go on."""
    console = make_console()
    if not page.events and page.complete:
        console.print(Text("No such event.", "dim"))
        return
    if page.events:
        _show(page.events, console)
    footer = Text(f"{count(len(page.events), 'event')} · times in {zone()}", "dim")
    if not page.complete:
        footer.append(f"\n{page.scanned:,} events were looked at, and there are more", "yellow")
    if page.next_cursor is not None:
        footer.append(f"\nmore: the same with --cursor {page.next_cursor}", "dim")
    console.print(footer, soft_wrap=True)


def _show(events: Sequence[AuditedEvent], console: LedgerConsole) -> None:
    """As a table; where that has no room, with what each event changed below it."""
    if console.width < _ROOMY:
        for each in events:
            console.print(joined("  ", _cells(each)))
            console.print(Padding(_changes(each), (0, 0, 0, 2)))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("#", justify="right", no_wrap=True, style="dim")
    table.add_column("Recorded", no_wrap=True, style="dim")
    table.add_column("Who", no_wrap=True, overflow="ellipsis", max_width=20)
    table.add_column("Job", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("Event", no_wrap=True)
    table.add_column("What it changed, and why", overflow="fold")
    for each in events:
        table.add_row(*_cells(each), _changes(each))
    console.print(table)


def _cells(audited: AuditedEvent) -> list[Text]:
    event = audited.event
    name, _ = describe([event], 1)
    texts = (str(event.position), local_time(event.recorded_at), line(event.actor or "-"), line(event.job_id))
    return [*map(Text, texts), name]


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
