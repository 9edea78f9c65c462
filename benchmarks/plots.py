"""The plots of the report: one for the targets, one for each scenario, for updates one for each store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .contenders import CRUD, LIBRARY, RAW, REPOSITORY, THROUGH_WRITER, WITH_ID, WRITER
from .plot_style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    RED,
    annotate,
    color_of,
    draw_spread,
    log_rates,
    new_figure,
    save,
    times,
)
from .plots_of_courses import bulk, flatness, ledgers, snapshot
from .results import Measured
from .scale import PAYLOADS
from .targets import Verdict

Plots = dict[str, str]
"""What embeds each plot, by its name."""

_ORDER = (RAW, LIBRARY, CRUD, REPOSITORY, REPOSITORY + WITH_ID, THROUGH_WRITER, WRITER, WRITER + WITH_ID)


def draw_all(folder: Path, measured: Mapping[str, Measured], judged: Iterable[Verdict]) -> Plots:
    """Draw what was measured."""
    plots: Plots = {}
    for name, title, figure in _figures(measured, list(judged)):
        path = folder / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".svg")
        save(figure, path)
        plots[name] = f"![{title}](plots/{path.name})\n"
    return plots


def _figures(measured: Mapping[str, Measured], judged: list[Verdict]) -> Iterator[tuple[str, str, Figure]]:
    known = [verdict for verdict in judged if verdict.share is not None]
    if known:
        yield "targets", "Each target's measured ratio beside the wanted one", targets(known)
    if "updates" in measured:
        for store in measured["updates"].cases("store"):
            yield f"updates {store}", f"Updates per second on {store}", updates(measured["updates"], store)
    others = {
        "ledgers": ("Many ledgers, and the memory they take", ledgers),
        "bulk": ("Bulk creation against COPY", bulk),
        "flatness": ("The cost of an update by the size of its ledger and the length of its run", flatness),
        "snapshot": ("The rate of updates while an old snapshot is held", snapshot),
    }
    for name, (title, draw) in others.items():
        if name in measured:
            yield name, title, draw(measured[name])


def targets(judged: list[Verdict]) -> Figure:
    """Every target on a row: how much of it was reached."""
    shares = [verdict.share or 1.0 for verdict in judged]
    reached = sum(share >= 1 for share in shares)
    subtitle = f"{reached} of {len(judged)} reached; measured ÷ wanted, for costs and memory allowed ÷ measured"
    figure = new_figure(10.5, 1.3 + 0.26 * len(judged), "Targets", subtitle)
    axes = figure.subplots()
    axes.axvline(1, color=INK, lw=1.2)
    for y, (verdict, share) in enumerate(zip(judged, shares, strict=True)):
        color = GREEN if share >= 1 else RED
        axes.plot([1, share], [y, y], color=color, lw=2.2, alpha=0.4, solid_capstyle="round")
        axes.plot([share], [y], "o", color=color, ms=6.5, mew=0)
        wanted = f"≥ {verdict.target.least:g}" if verdict.target.least else f"≤ {verdict.target.most:g}"
        annotate(axes, max(1.0, share), y, f"{verdict.ratio:.2f} ×", color, weight="bold")
        annotate(axes, max(1.0, share), y, f"wanted {wanted} ×", MUTED, shift=54)
        if y and judged[y - 1].target.scenario != verdict.target.scenario:
            axes.axhline(y - 0.5, color=FAINT, lw=1)
    log_rates(axes, min(0.5, *shares), max(2.0, *shares))
    axes.set_yticks(range(len(judged)), [verdict.target.text for verdict in judged])
    axes.set_ylim(len(judged) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    return figure


def updates(measured: Measured, store: str) -> Figure:
    """A panel for each number of clients, a row for each contender: small payload above, 2 KB below."""
    found = list(measured.select(store=store))
    names = [name for name in _ORDER if any(result.contender == name for result in found)]
    clients = measured.cases("clients", store=store)
    subtitle = "logarithmic; large dots: medians, with all rounds around them; × CRUD as in the seed, same run"
    figure = new_figure(12.5, 1.2 + 0.52 * len(names), f"Updates per second: {store}", subtitle)
    panels = figure.subplots(1, len(clients), sharey=True, squeeze=False)[0]
    rates = [rate for result in found for rate in result.rounds]
    for panel, each in zip(panels, clients, strict=True):
        panel.set_title("1 client" if each == 1 else f"{each} clients")
        _panel(panel, measured, store, each, names)
        log_rates(panel, min(rates), max(rates), room=6)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.spines["left"].set_visible(False)
    panels[0].set_yticks(range(len(names)), names)
    _legend(figure)
    return figure


def _panel(axes: Axes, measured: Measured, store: str, clients: int, names: list[str]) -> None:
    for y, name in enumerate(names):
        if y % 2 == 0:
            axes.axhspan(y - 0.5, y + 0.5, color=FAINT, alpha=0.35, lw=0)
        for payload, offset in zip(PAYLOADS, (-0.19, 0.19), strict=True):
            case = {"store": store, "clients": clients, "payload": payload}
            result, crud = measured.find(name, **case), measured.find(CRUD, **case)
            if result is None:
                continue
            color = color_of(name)
            draw_spread(axes, y + offset, result, color, hollow=payload != PAYLOADS[0])
            text = f"{result.median:,.0f}"
            if crud is not None and name != CRUD:
                text += f"  ({times(result.median / crud.median)})"
            annotate(axes, max(result.rounds), y + offset, text, color)


def _legend(figure: Figure) -> None:
    shown = [
        Line2D([], [], ls="", marker="o", ms=6.5, mfc=face, mec=BLUE, mew=1.6, label=f"{payload} payload")
        for payload, face in zip(PAYLOADS, (BLUE, "white"), strict=True)
    ]
    figure.legend(handles=shown, loc="upper right", ncols=2, labelcolor=MUTED, handletextpad=0.1)
