"""How the plots look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .contenders import CRUD, LIBRARY, RAW
from .results import Result

matplotlib.use("svg")

INK, MUTED, FAINT = "#1f2933", "#65717e", "#e3e8ed"
BLUE, PALE_BLUE, GREEN, RED = "#1d5fbf", "#8ab4ec", "#1a8a5a", "#c8452d"
# Baselines in warm and gray tones, the ledger in blue.
_COLORS = {CRUD: "#3c4650", LIBRARY: "#b7700a", RAW: "#7b8794"}

matplotlib.rcParams.update(
    {
        "svg.hashsalt": "execution-ledger",  # the same picture, the same file
        "font.family": "DejaVu Sans",  # comes with matplotlib
        "font.size": 9.5,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": FAINT,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "x",
        "grid.color": FAINT,
        "xtick.color": MUTED,
        "ytick.color": INK,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "figure.facecolor": "white",  # readable on a dark page as well
        "savefig.facecolor": "white",
    }
)


def color_of(contender: str) -> str:
    """The color a contender has in every plot."""
    return _COLORS.get(contender, BLUE)


def new_figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """An empty figure under its title; inches."""
    figure = Figure((width, height), layout="constrained")
    top = 1 - 0.62 / height
    figure.get_layout_engine().set(rect=(0.01, 0.0, 0.98, top), w_pad=0.08)  # type: ignore[union-attr, call-arg]
    figure.text(0.016, 1 - 0.14 / height, title, size=13, weight="bold", va="top")
    figure.text(0.016, 1 - 0.40 / height, subtitle, size=9.5, color=MUTED, va="top")
    return figure


def draw_spread(axes: Axes, y: float, result: Result, color: str, *, hollow: bool = False) -> None:
    """A contender on a row: a line from the lowest to the highest round, a dot for each, a large one for the median."""
    axes.plot([min(result.rounds), max(result.rounds)], [y, y], color=color, alpha=0.35, lw=4, solid_capstyle="round")
    axes.plot(result.rounds, [y] * len(result.rounds), ".", color=color, alpha=0.45, ms=4, mew=0)
    face = "white" if hollow else color
    axes.plot([result.median], [y], "o", ms=6.5, mfc=face, mec=color, mew=1.6)


def annotate(axes: Axes, x: float, y: float, text: str, color: str, *, shift: float = 8, **options: Any) -> None:
    """A few words right of a point, or left of it where `shift` (in points) is negative."""
    side = "left" if shift > 0 else "right"
    options = {"size": 8.5, "color": color, "ha": side, "va": "center", **options}
    axes.annotate(text, (x, y), (shift, 0), textcoords="offset points", **options)


def log_rates(axes: Axes, low: float, high: float, *, room: float = 2.6) -> None:
    """A logarithmic axis, with `room` on the right for words."""
    axes.set_xscale("log")
    axes.set_xlim(low / 1.25, high * room)
    wide = high / low > 10
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def times(ratio: float) -> str:
    """A ratio with two digits that count."""
    return f"{ratio:.0f} ×" if ratio >= 9.95 else f"{ratio:.1f} ×" if ratio >= 0.995 else f"{ratio:.2f} ×"


def short(value: float) -> str:
    """A number as an axis shows it: 500, 2k, 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def save(figure: Figure, path: Path) -> None:
    """Write the SVG, without a date: it would differ each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
