"""Spans of time as bars: the time in each status, and the steps below each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ...projections import Span, StatusSpan, StepSpan
from .show_text import STATUS_STYLES, duration, joined, line, symbol

_EIGHTHS = " ▏▎▍▌▋▊▉"
_MAX_STEPS = 50
_NARROW, _WIDE = 20, 72


def chart(
    statuses: Sequence[StatusSpan], steps: Sequence[StepSpan], begin: datetime, end: datetime, console: Console
) -> RenderableType:
    """A bar for the whole run, colored by status, and one for each step below it, on the same scale."""
    rows = list(_flat(steps, 0))
    names = [Text("  " * depth + line(span.name)) for depth, span in rows[:_MAX_STEPS]]
    more = Text(f"… {len(rows) - _MAX_STEPS:,} more" if len(rows) > _MAX_STEPS else "", "dim")
    label = min(max(name.cell_len for name in (*names, more)), 28)
    columns = console.width if console.is_terminal else 80
    width = max(_NARROW, min(_WIDE, columns - (label + 19 if rows else 2)))
    scale = _Scale(begin, end, width, ascii_only=console.options.ascii_only)
    if not rows:
        return scale.statuses(statuses)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", width=label)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_row("", "", duration((end - begin).total_seconds()), scale.statuses(statuses))
    for name, (_, span) in zip(names, rows, strict=False):
        outcome = span.outcome or "running"
        style = STATUS_STYLES.get(outcome, "")
        took = duration(((span.finished_at or end) - span.started_at).total_seconds())
        table.add_row(name, Text(symbol(outcome, console), style), took, Text(scale.bar(span), style))
    if more:
        table.add_row(more)
    return table


def legend(statuses: Sequence[StatusSpan], end: datetime) -> Text:
    """`pending 3 ms → running 1.8 s → failed`."""
    parts = []
    for at, span in enumerate(statuses):
        name = Text(span.status.replace("_", " "), STATUS_STYLES.get(span.status, ""))
        took = ((span.finished_at or end) - span.started_at).total_seconds()
        if span.finished_at is not None or took > 0 or at == 0:
            name.append(f" {duration(took)}", "dim")
        parts.append(name)
    return joined(" → ", parts)


class _Scale:
    """Times as cells of a bar."""

    def __init__(self, begin: datetime, end: datetime, width: int, *, ascii_only: bool) -> None:
        self._begin = begin
        self._end = end
        self._width = width
        self._total = max((end - begin).total_seconds(), 1e-6)
        self._ascii = ascii_only

    def statuses(self, spans: Sequence[StatusSpan]) -> Text:
        """One bar, colored by status."""
        bar, drawn = Text(no_wrap=True), 0
        for span in spans:
            upto = min(round(self._cell(span.finished_at)), self._width)
            bar.append(("=" if self._ascii else "━") * (upto - drawn), STATUS_STYLES.get(span.status, ""))
            drawn = max(upto, drawn)
        return bar

    def bar(self, span: Span) -> str:
        """A bar from the begin to the end of a span, fine to an eighth of a cell at its end."""
        begin = min(max(int(self._cell(span.started_at)), 0), self._width - 1)
        length = max(min(self._cell(span.finished_at), self._width) - begin, 0.0)
        if self._ascii:
            return " " * begin + "#" * max(round(length), 1)
        full, rest = int(length), int(length % 1 * 8)
        return " " * begin + (("█" * full + _EIGHTHS[rest].strip()) or "▏")

    def _cell(self, time: datetime | None) -> float:
        return ((time or self._end) - self._begin).total_seconds() / self._total * self._width


def progress_bar(fraction: float, console: Console, width: int = 24) -> Text:
    """How far a run came."""
    ascii_only = console.options.ascii_only
    full = round(fraction * width)
    return Text.assemble(
        (("#" if ascii_only else "━") * full, "green" if fraction >= 1 else "cyan"),
        (("-" if ascii_only else "─") * (width - full), "dim"),
        f" {fraction:.0%}",
    )


def _flat(steps: Sequence[StepSpan], depth: int) -> Iterator[tuple[int, StepSpan]]:
    for span in steps:
        yield depth, span
        yield from _flat(span.steps, depth + 1)
