"""Rounds: contenders take turns, so that whatever disturbs the machine disturbs all of them; every round is printed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rich.console import Console

from .results import Result
from .scale import Scale

Measure = Callable[[], Awaitable[float]]


async def take_turns(
    case: Mapping[str, Any], contenders: Mapping[str, Measure], scale: Scale, console: Console, unit: str = "updates/s"
) -> list[Result]:
    """Measure each contender once a round; the first round warms up and does not count."""
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    console.print(", ".join(label(name, value) for name, value in case.items()), style="bold")
    for number in range(scale.rounds + 1):
        names = list(contenders)
        first = number % len(names)  # nobody always comes right after the same other one
        for name in names[first:] + names[:first]:
            rate = await contenders[name]()
            if number:
                rounds[name].append(rate)
            counts = f"round {number}" if number else "warm-up"
            console.print(f"  {counts:<8} {name:<46}{rate:>10,.0f} {unit}", style=None if number else "dim")
    return [Result(name, dict(case), measured, unit) for name, measured in rounds.items()]


def label(name: str, value: Any) -> str:
    """A part of a case, in words."""
    if name == "clients":
        return "1 client" if value == 1 else f"{value} clients"
    return f"{value:,} {name}" if isinstance(value, int) else f"{value} {name}" if name == "payload" else str(value)
