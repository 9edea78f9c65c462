"""`history`: a table of executions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from ...infrastructure import ExecutionHistory
from ...projections import LedgerSummary
from .reading import History
from .show_status import status_text, times
from .show_text import STATUS_STYLES, LedgerConsole, count, duration, joined, line, local_time, make_console, zone

_GAP = 2
_ROOMY = 110
"""Columns from which on times are shown in full."""


def show(found: History, options: Sequence[str] = ()) -> None:
    """Print the page, and below it how many there are; `options` are those of the filters, for the next page."""
    console = make_console()
    if found.executions:
        console.print(_table(found, console))
        console.print()
    console.print(_footer(found), soft_wrap=True)
    if found.next_cursor:
        again = shlex.join(["execution-ledger", "history", *options, "--cursor", found.next_cursor])
        console.print(Text(f"more: {again}", "dim"), soft_wrap=True)


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
    job, name = _shares([max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)], console.width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Job", no_wrap=True, overflow="ellipsis", width=job)
    table.add_column("Name", no_wrap=True, overflow="ellipsis", width=name)
    table.add_column("Status", no_wrap=True)
    table.add_column("Started", no_wrap=True, style="dim")
    table.add_column("Took", justify="right", no_wrap=True)
    table.add_column("Try", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
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


def _shares(widths: list[int], columns: int) -> tuple[int, int]:
    """Widths of job and name: what the other columns leave; the job, which is to be typed, comes first."""
    number, job, name, status, started, took, tries = widths
    others = number + max(status, 6) + max(started, 7) + max(took, 4) + max(tries, 3) + 6 * _GAP
    job, name, room = max(job, 3), max(name, 4), columns - others
    job = max(min(job, room - min(name, max(room * 2 // 5, 8))), 8)
    return job, max(min(name, room - job), 4)


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
