"""`stats`: how runs ended, as bars; how long they took; why they failed."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...projections import Statistics
from .reading import TOP, Numbers
from .show_text import STATUS_STYLES, LedgerConsole, count, duration, joined, line, local_time, make_console, zone

_OUTCOMES = ("completed", "stopped", "cancelled", "rejected", "failed")
_BAR = 30


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
        table = _table("Runs", "Last", "Job", "Reason")
        for reason in found.reasons:
            last, job = local_time(reason.last_at), line(reason.job_id or "-")
            table.add_row(f"{reason.runs:,}", last, job, Text(line(reason.reason or "no error was told")))
        console.print(table)
    if found.longest:
        console.print(Text(f"\nThe {TOP} longest", "dim"))
        table = _table("Took", "Ended", "Job", "Name")
        for run in found.longest:
            took = "" if run.duration is None else duration(run.duration)
            job = Text(line(run.job_id), STATUS_STYLES.get(run.outcome, ""))
            table.add_row(took, local_time(run.ended_at), job, Text(line(run.run_name or "")))
        console.print(table)


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
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=30)
    for name in ("Runs", "Failed", "p50", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    most = max(group.runs for group in found.groups)
    for group in found.groups:
        rate = group.failure_rate or 0
        failed = Text(f"{rate:.0%}", STATUS_STYLES["failed"] if rate else "dim")
        times = [("" if each is None else duration(each)) for each in (group.duration.p50, group.duration.p95)]
        table.add_row(_label(group, found.window.by), f"{group.runs:,}", failed, *times, _bar(group, most, console))
    return table


def _label(group: Statistics, by: str) -> Text:
    if group.at is not None:
        # Hours and days are those of UTC, as they are counted; hours are shown in the reader's own zone.
        return Text(f"{group.at:%Y-%m-%d} UTC" if by == "day" else f"{group.at.astimezone():%Y-%m-%d %H:%M}")
    return Text(line((group.run_name if by == "run_name" else group.execution_type) or "(none)"))


def _bar(group: Statistics, most: int, console: LedgerConsole) -> Text:
    """One cell for each share of the most runs, colored by outcome; what happened at all has a cell."""
    text = Text()
    cell = "#" if console.options.ascii_only else "█"
    for outcome in _OUTCOMES:
        runs = group.outcomes.get(outcome, 0)
        if runs:
            text.append(cell * max(1, round(runs / most * _BAR)), STATUS_STYLES[outcome])
    return text


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for at, name in enumerate(columns):
        last = at == len(columns) - 1
        table.add_column(name, justify="right" if at == 0 else "left", no_wrap=not last, overflow="fold")
    return table
