"""`diff`: what changed between two moments of an execution."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from ...projections import Diff
from .show_text import STATUS_STYLES, block, clean, count, line, local_time, make_console

_LINES = 6


def show(job: str, found: Diff) -> None:
    """Print a line for each value that differs, then what steps did."""
    console = make_console()
    if not found.changes and not found.steps:
        console.print(Text(f"Nothing changed in {line(job)}.", "dim"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Field", no_wrap=True)
    table.add_column("Before", overflow="fold")
    table.add_column("After", overflow="fold")
    for change in found.changes:
        table.add_row(Text(line(change.field)), _value(change.before, "red"), _value(change.after, "green"))
    if found.changes:
        console.print(table)
    for step in found.steps:
        what = step.outcome or step.kind
        when = "" if step.at is None else local_time(step.at)
        text = Text.assemble((f"{when}  ", "dim"), f"step {line(step.step_id or '?')} ")
        console.print(text.append(what, STATUS_STYLES.get(what, "")))
    console.print(Text(f"{count(len(found.changes), 'value')}, {count(len(found.steps), 'step event')}", "dim"))


def _value(value: Any, style: str) -> Text:
    if value is None:
        return Text("-", "dim")
    value = msgspec.to_builtins(value)  # a time as text, as it comes from a service
    text = block(value if isinstance(value, str) else clean(msgspec.json.encode(value).decode()), _LINES)
    text.stylize(style)
    return text
