"""What was measured, every round of it; kept as JSON, so that the report can be written again without measuring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .scale import Scale


@dataclass(frozen=True)
class Result:
    """One contender in one case: the rounds that count."""

    contender: str
    case: dict[str, Any]
    """What all contenders of a comparison have in common: store, clients, payload …"""
    rounds: list[float]
    unit: str = "updates/s"

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)


@dataclass(frozen=True)
class Curve:
    """One round's course, where a rate is not enough."""

    name: str
    x: list[float]
    y: list[float]


@dataclass
class Measured:
    """All that one scenario measured in one run."""

    facts: dict[str, str]
    """Of the machine and of the programs."""
    scale: Scale
    results: list[Result] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    def select(self, **case: Any) -> Iterator[Result]:
        """The results of the cases that have these values."""
        return (result for result in self.results if case.items() <= result.case.items())

    def cases(self, name: str, **case: Any) -> list[Any]:
        """The values that `name` takes, in the order measured."""
        return list(dict.fromkeys(result.case[name] for result in self.select(**case) if name in result.case))

    def find(self, contender: str, **case: Any) -> Result | None:
        """One contender in one case; None where it was not measured."""
        return next((result for result in self.select(**case) if result.contender == contender), None)


def load(path: Path) -> dict[str, Measured]:
    """The last run of each scenario, by its name."""
    if not path.exists():
        return {}
    return {name: _measured(**stored) for name, stored in json.loads(path.read_text(encoding="utf-8")).items()}


def save(path: Path, measured: dict[str, Measured]) -> None:
    """Keep them, rounded to what can be told apart."""
    stored = {name: _rounded(asdict(one)) for name, one in measured.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _measured(facts: dict[str, str], scale: dict[str, Any], results: list[Any], curves: list[Any]) -> Measured:
    sizes: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in scale.items()}
    return Measured(facts, Scale(**sizes), [Result(**each) for each in results], [Curve(**each) for each in curves])


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
