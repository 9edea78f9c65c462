"""Results as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .results import Result
from .targets import Verdict


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table whose first `left` columns hold words, the others numbers."""
    lines = ["| " + " | ".join(heading) + " |"]
    lines.append("|" + "|".join(["---"] * left + ["---:"] * (len(heading) - left)) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """A rate, or MiB."""
    return f"{value:,.0f}"


def spread(result: Result | None) -> str:
    """The median, and between what the rounds were."""
    if result is None:
        return "–"
    return f"**{number(result.median)}** ({number(min(result.rounds))} – {number(max(result.rounds))})"


def ratio(result: Result | None, baseline: Result | None) -> str:
    """The ratio of two medians."""
    return f"{result.median / baseline.median:.2f} ×" if result and baseline else "–"


def all_rounds(results: Iterable[Result]) -> str:
    """Every round of every contender, to unfold."""
    results = list(results)
    case = [name for name in results[0].case if len({str(result.case.get(name)) for result in results}) > 1]
    heading = [*case, "contender", *(f"round {at}" for at in range(1, len(results[0].rounds) + 1)), "unit"]
    rows = (
        [*(str(result.case[name]) for name in case), result.contender, *map(number, result.rounds), result.unit]
        for result in results
    )
    return f"<details><summary>Every round</summary>\n\n{table(heading, rows, len(case) + 1)}\n</details>\n"


def verdicts(judged: Iterable[Verdict]) -> str:
    """All targets beside what was measured."""
    return table(
        ["target", "wanted", "measured", "reached", "ceiling"],
        ([v.target.text, _wanted(v), _shown(v.ratio), f"**{v.word}**", _shown(v.ceiling)] for v in judged),
    )


def _wanted(verdict: Verdict) -> str:
    if verdict.target.least is not None:
        return f"≥ {verdict.target.least:g} ×"
    return "known" if verdict.target.most is None else f"≤ {verdict.target.most:g} ×"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ×"
