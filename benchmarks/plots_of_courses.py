"""Plots of the scenarios that are about something growing: ledgers, sizes, old versions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .bulk import BULK, COPY_TEXT
from .flatness import SPREAD
from .ledgers import MANY, ONE
from .plot_style import BLUE, GREEN, INK, MUTED, PALE_BLUE, RED, annotate, draw_spread, new_figure, short
from .results import Measured, Result


def ledgers(measured: Measured) -> Figure:
    """Rates on the left, memory on the right."""
    found = [result for result in measured.results if result.contender in (ONE, MANY)]
    case = found[0].case
    subtitle = f"{case['clients']} clients, {case['idle ledgers']:,} idle ledgers present, one writer"
    figure = new_figure(12, 3.1, "Many ledgers", subtitle)
    rates, memory = figure.subplots(1, 2)
    _rows(rates, found, ONE, {MANY: BLUE, ONE: INK})
    rates.set_title("Updates per second")
    [curve] = measured.curves
    memory.plot(curve.x, curve.y, "o-", color=BLUE, ms=5)
    memory.set_title("Memory of the process, MiB")
    memory.set_ylim(0, max(curve.y) * 1.25)
    memory.grid(axis="y")
    names = ["before", "with idle", "warm-up", *(f"round {at}" for at in range(1, len(curve.x) - 2))]
    memory.set_xticks(curve.x, names, size=8)
    for x, y in zip(curve.x, curve.y, strict=True):
        _above(memory, x, y, f"{y:,.1f}", BLUE)
    return figure


def bulk(measured: Measured) -> Figure:
    """A panel for each payload."""
    payloads = measured.cases("payload")
    number = measured.results[0].case["executions"]
    figure = new_figure(
        12, 3.1, "Bulk creation", f"executions per second, {number:,} in each round; × COPY of ready text"
    )
    for panel, payload in zip(figure.subplots(1, len(payloads), sharey=True, squeeze=False)[0], payloads, strict=True):
        _rows(panel, list(measured.select(payload=payload)), COPY_TEXT, {BULK: BLUE})
        panel.set_title(f"{payload} payload")
    return figure


def flatness(measured: Measured) -> Figure:
    """Cost of an update relative to the smallest size."""
    subtitle = "relative to the smallest size, same run (1 is flat; the shaded range is the target of 1.3)"
    figure = new_figure(12, 4.0, "Cost of an update", subtitle)
    kinds, ways = measured.cases("flat in"), measured.cases("way")
    sizes = [len(list(measured.select(**{"flat in": kind, "way": ways[0]}))) for kind in kinds]
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False, width_ratios=sizes)[0]
    costs = [1.5, 0.75]
    for panel, kind in zip(panels, kinds, strict=True):
        panel.axhspan(0, 1.3, color=GREEN, alpha=0.08, lw=0)
        panel.axhline(1, color=MUTED, lw=0.8)
        for way, color, side in zip(ways, (INK, BLUE), (-1, 1), strict=True):
            found = list(measured.select(**{"way": way, "flat in": kind}))
            costs += _costs(panel, found, color, side, way)
        found = list(measured.select(**{"way": ways[0], "flat in": kind}))
        names = [result.contender.replace(SPREAD, "\n" + SPREAD.strip(" ()")) for result in found]
        panel.set_xticks(range(len(names)), [name.replace(f" {kind}", "") for name in names], color=INK)
        panel.set_xlim(-0.5, len(names) - 0.5)
        panel.set_title(kind.capitalize())
        panel.grid(axis="y")
        panel.grid(visible=False, axis="x")
    panels[0].set_ylim(min(costs) * 0.95, max(costs) * 1.05)
    panels[-1].legend(loc="upper left", labelcolor="linecolor")
    return figure


def _costs(axes: Axes, found: Sequence[Result], color: str, side: int, label: str) -> list[float]:
    base = found[0].median
    line = [result for result in found if SPREAD not in result.contender]
    xs = [at + 0.06 * side for at in range(len(found))]
    axes.plot(xs[: len(line)], [base / result.median for result in line], color=color, lw=1.5)
    for x, result in zip(xs, found, strict=True):
        rounds = [base / rate for rate in result.rounds]
        axes.plot([x, x], [min(rounds), max(rounds)], color=color, alpha=0.3, lw=4, solid_capstyle="round")
        axes.plot([x], [base / result.median], "o", color=color, ms=6)
        if result is not found[0]:  # one way's numbers above its rounds, the other's below
            y, way = (max(rounds), "bottom") if side > 0 else (min(rounds), "top")
            text = f"{base / result.median:.2f}"
            _above(axes, x, y, text, color, xytext=(0, 5 * side), va=way)
    axes.plot([], [], "o-", color=color, label=label)
    return [base / rate for result in found for rate in result.rounds]


def snapshot(measured: Measured) -> Figure:
    """The rate along the updates, each round thin, their median thick."""
    before, during, after = measured.results
    held = before.case["updates"]
    subtitle = "updates per second through the writer: each round, and their median"
    figure = new_figure(12, 4.0, "One old snapshot", subtitle)
    axes = figure.subplots()
    axes.axvspan(0, held, color=RED, alpha=0.07, lw=0)
    xs = measured.curves[0].x
    for curve in measured.curves:
        axes.plot(curve.x, curve.y, color=PALE_BLUE, lw=0.9)
    middle = [median(ys) for ys in zip(*(curve.y for curve in measured.curves), strict=True)]
    axes.plot(xs, middle, color=BLUE, lw=2.2)
    top = max(max(curve.y) for curve in measured.curves) * 1.3
    axes.set_ylim(0, top)
    axes.set_xlim(xs[0], xs[-1])
    axes.text(held / 2, top * 0.96, "a transaction that has read stays open", ha="center", va="top", color=RED)
    for x, result in ((0, before), (held, during), (xs[-1], after)):
        ratio = "" if result is before else f"  ({result.median / before.median:.2f} ×)"
        _above(axes, x, result.median * 1.08, f"{result.median:,.0f}{ratio}", BLUE, ha="right", weight="bold")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("updates since the snapshot was taken")
    axes.grid(axis="y")
    return figure


def _above(axes: Axes, x: float, y: float, text: str, color: str, **options: Any) -> None:
    options = {"xytext": (0, 7), "ha": "center", "size": 8.5, "color": color, **options}
    axes.annotate(text, (x, y), textcoords="offset points", **options)


def _rows(axes: Axes, found: Sequence[Result], baseline: str, colors: dict[str, str]) -> None:
    base = next(result for result in found if result.contender == baseline)
    high = max(max(result.rounds) for result in found)
    for y, result in enumerate(found):
        color = colors.get(result.contender, MUTED)
        axes.barh(y, result.median, height=0.5, color=color, alpha=0.18, lw=0)
        draw_spread(axes, y, result, color)
        shown = f"{result.median:,.0f}"
        if result is not base:
            shown += f"  ({result.median / base.median:.2f} ×)"
        annotate(axes, max(result.rounds), y, shown, color, weight="bold")
    axes.set_yticks(range(len(found)), [result.contender for result in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, high * 1.45)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
