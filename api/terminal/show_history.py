"""`history`: a table of executions."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from ...infrastructure import ExecutionHistory
from ...projections import LedgerSummary
from .reading import History
from .show_status import status_text, times
from .show_text import (
    GAP,
    STATUS_STYLES,
    LedgerConsole,
    count,
    duration,
    giving_way,
    joined,
    line,
    local_time,
    make_console,
    zone,
)

_COLUMNS = ("#", "Job", "Name", "Status", "Started", "Took", "Try")
_NUMBERS = ("#", "Took", "Try")
_JOB, _NAME = 16, 8
_ROOMY = 110
"""Columns from which on times are shown in full."""


def show(found: History) -> None:
    """Print the page, and below it how many there are."""
    console = make_console()
    if found.executions:
        console.print(_table(found, console))
        console.print()
    console.print(_footer(found), soft_wrap=True)
    if found.next_cursor:
        console.print(Text(f"more: the same with --cursor {found.next_cursor}", "dim"), soft_wrap=True)


def totals(summary: LedgerSummary) -> Text:
    """`9 completed · 2 failed · 1 running`, colored."""
    parts = [
        Text(f"{number:,} {status.replace('_', ' ')}", STATUS_STYLES[status])
        for status, number in sorted(summary.statuses.items(), key=lambda item: -item[1])
        if number
    ]
    return joined(" · ", parts)


def _table(found: History, console: LedgerConsole) -> Table:
    roomy = console.width >= _ROOMY
    rows = [_row(each, console, roomy=roomy) for each in found.executions]
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    widths = [max(width, len(name)) for width, name in zip(widths, _COLUMNS, strict=True)]
    _, job, name, *_ = widths
    # Of job and name so much at least, the rest where there is room; the job, which is to be typed, comes first.
    least = [widths[0], min(job, _JOB), min(name, _NAME), *widths[3:]]
    out = giving_way(least, console.width, [_COLUMNS.index(each) for each in ("Try", "Started", "Name", "Took")])
    room = console.width - sum(width + GAP for at, width in enumerate(widths) if at not in out) + GAP + job
    if _COLUMNS.index("Name") not in out:
        room += name
        job = max(min(job, room - min(name, max(room * 2 // 5, _NAME))), min(job, _JOB))
        widths[2] = max(min(name, room - job), min(name, _NAME))
    widths[1] = max(min(job, room), min(job, _JOB))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for at, title in enumerate(_COLUMNS):
        if at not in out:
            justify = "right" if title in _NUMBERS else "left"
            style = "dim" if title == "Started" else None
            table.add_column(title, justify=justify, style=style, no_wrap=True, overflow="ellipsis", width=widths[at])
    for row in rows:
        table.add_row(*(cell for at, cell in enumerate(row) if at not in out))
    return table


def _row(execution: ExecutionHistory, console: LedgerConsole, *, roomy: bool) -> list[Text]:
    took = times(execution)
    return [
        Text(str(execution.id)),
        Text(line(execution.job_id)),
        Text(line(execution.run_name or "")),
        status_text(execution.status, console),
        Text(_started(execution.started_at, roomy=roomy)),
        Text("" if took is None else duration(took), "" if execution.completed_at else "dim"),
        Text(str(execution.attempt), "dim" if execution.attempt == 1 else "yellow"),
    ]


def _started(time: datetime | None, *, roomy: bool) -> str:
    if time is None:
        return ""
    if roomy:
        return local_time(time)
    local, today = time.astimezone(), datetime.now().astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%b %d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d}"


def _footer(found: History) -> Text:
    if not found.summary.executions:
        return Text("No executions yet. Begin with: execution-ledger record -- COMMAND")
    footer = Text()
    if found.filtered:
        footer.append(f"{found.total:,} of ")
    footer.append(count(found.summary.executions, "execution") + ": ")
    footer.append_text(totals(found.summary))
    footer.append(f" · times in {zone()}", "dim")
    return footer
