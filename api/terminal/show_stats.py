"""`stats`: how runs ended, as bars; how long they took; why they failed."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...projections import Statistics
from .reading import TOP, Numbers
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

_OUTCOMES = ("completed", "stopped", "cancelled", "rejected", "failed")
_BAR = 30
_LABEL = 30
_REASON = 24
"""Columns that a reason, or a name, needs at least."""


def show(found: Numbers) -> None:
    """Print the totals, a line for each group, the reasons and the longest runs."""
    console, window = make_console(), found.window
    heading = f"{local_time(window.begin)} to {local_time(window.end)} {zone()}"
    console.print(Text.assemble((count(found.whole.runs, "run"), "bold"), (f" ended, {heading}", "dim")))
    if not found.whole.runs:
        return
    console.print(_outcomes(found.whole))
    console.print()
    console.print(_groups(found, console))
    if found.truncated:
        told = f"the first {len(found.groups):,} groups; narrow --since, --until or --name to see others"
        console.print(Text(told, "yellow"), soft_wrap=True)
    if found.reasons:
        console.print(Text(f"\nWhy they failed (the {TOP} commonest reasons)", "dim"))
        rows = [
            (
                f"{each.runs:,}",
                local_time(each.last_at),
                Text(line(each.job_id or "-")),
                each.reason or "no error was told",
            )
            for each in found.reasons
        ]
        console.print(_table(("Runs", "Last", "Job", "Reason"), rows, console))
    if found.longest:
        console.print(Text(f"\nThe {TOP} longest", "dim"))
        rows = [
            (
                "" if run.duration is None else duration(run.duration),
                local_time(run.ended_at),
                Text(line(run.job_id), STATUS_STYLES.get(run.outcome, "")),
                run.run_name or "",
            )
            for run in found.longest
        ]
        console.print(_table(("Took", "Ended", "Job", "Name"), rows, console))


def _outcomes(numbers: Statistics) -> Text:
    parts = [
        Text(f"{numbers.outcomes[outcome]:,} {outcome}", STATUS_STYLES[outcome])
        for outcome in _OUTCOMES
        if numbers.outcomes.get(outcome)
    ]
    text = joined(" · ", parts)
    times = numbers.duration
    if times.p50 is not None and times.p95 is not None and times.p99 is not None:
        text.append(f"\np50 {duration(times.p50)} · p95 {duration(times.p95)} · p99 {duration(times.p99)}", "dim")
    return text


def _groups(found: Numbers, console: LedgerConsole) -> RenderableType:
    title = {"hour": "Hour", "day": "Day", "run_name": "Name", "execution_type": "Type"}[found.window.by]
    names = (title, "Runs", "Failed", "p50", "p95")
    rows = [[Text(name) for name in names]]
    for group in found.groups:
        rate = group.failure_rate or 0
        failed = Text(f"{rate:.0%}", STATUS_STYLES["failed"] if rate else "dim")
        times = [Text("" if each is None else duration(each)) for each in (group.duration.p50, group.duration.p95)]
        rows.append([_label(group, found.window.by), Text(f"{group.runs:,}"), failed, *times])
    widths = [min(max(cell.cell_len for cell in column), _LABEL) for column in zip(*rows, strict=True)]
    out = giving_way(widths, console.width, (3, 4))
    room = console.width - sum(width + GAP for at, width in enumerate(widths) if at not in out)
    most, longest = max(group.runs for group in found.groups), min(room - len(_OUTCOMES), _BAR)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for at, name in enumerate(names):
        if at == 0:
            table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=_LABEL)
        elif at not in out:
            table.add_column(name, justify="right", no_wrap=True, min_width=widths[at])
    if bars := longest >= len(_OUTCOMES):
        table.add_column("", no_wrap=True)
    for group, row in zip(found.groups, rows[1:], strict=True):
        cells = [cell for at, cell in enumerate(row) if at not in out]
        table.add_row(*cells, *([_bar(group, most, longest, console)] if bars else []))
    return table


def _label(group: Statistics, by: str) -> Text:
    if group.at is not None:
        # Hours and days are those of UTC, as they are counted; hours are shown in the reader's own zone.
        return Text(f"{group.at:%Y-%m-%d} UTC" if by == "day" else f"{group.at.astimezone():%Y-%m-%d %H:%M}")
    return Text(line((group.run_name if by == "run_name" else group.execution_type) or "(none)"))


def _bar(group: Statistics, most: int, longest: int, console: LedgerConsole) -> Text:
    """One cell for each share of the most runs, colored by outcome; what happened at all has a cell."""
    text = Text()
    cell = "#" if console.options.ascii_only else "█"
    for outcome in _OUTCOMES:
        runs = group.outcomes.get(outcome, 0)
        if runs:
            text.append(cell * max(1, round(runs / most * longest)), STATUS_STYLES[outcome])
    return text


def _table(names: tuple[str, ...], rows: list[tuple[str, str, Text, str]], console: LedgerConsole) -> Table:
    """A number, a time, a job and a text; where the text has no room, without the time."""
    job = max(row[2].cell_len for row in rows)
    timed = len(rows[0][1]) + 10 + job + _REASON <= console.width
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    table.add_column(names[0], justify="right", no_wrap=True, min_width=max(len(row[0]) for row in rows))
    if timed:
        table.add_column(names[1], no_wrap=True)
    whole = 10 + job + _REASON <= console.width  # else in several lines
    table.add_column(names[2], overflow="fold", min_width=job if whole else None)
    table.add_column(names[3], overflow="fold")
    for number, time, name, text in rows:
        table.add_row(number, *([time] if timed else []), name, Text(line(text)))
    return table
