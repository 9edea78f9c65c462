"""`make bench`: measure, print every round, write RESULTS.md and its plots."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from execution_ledger.api.runtime import tune_interpreter

from . import bulk, flatness, imports, ledgers, reads, service, snapshot, updates, upkeep
from .facts import collect_facts
from .results import Measured, load, save
from .scale import QUICK, Scale
from .stores import start_stores
from .targets import judge
from .world import World

SCENARIOS = {
    "updates": updates.run,
    "ledgers": ledgers.run,
    "bulk": bulk.run,
    "flatness": flatness.run,
    "snapshot": snapshot.run,
    "upkeep": upkeep.run,
    "imports": imports.run,
    "reads": reads.run,
    "service": service.run,
}
_HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the arguments say."""
    options = _parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    file = options.output / "results.json"
    measured = load(file)  # scenarios that are left out keep what they had
    if not options.report:
        given = {name: getattr(options, name) for name in ("rounds", "seconds") if getattr(options, name) is not None}
        tune_interpreter()  # as `serve` does, for all contenders
        scale = replace(QUICK if options.quick else Scale(), **given)
        with start_stores(fsync=scale.fsync) as stores:
            world, facts = World(stores, scale, console), collect_facts(stores, scale)
            for name in sorted(options.only, key=_has_no_memory):
                measured[name] = Measured(facts, scale)
                asyncio.run(SCENARIOS[name](world, measured[name]))
                save(file, measured)  # one that fails later costs nothing of this one
    kept = load(file)  # also right after measuring: the report is about what is kept
    measured = {name: kept[name] for name in SCENARIOS if name in kept}
    from . import report  # only now: what draws the plots would count as memory in the measurements

    report.write(options.output, measured)
    _print(measured, console)


def _has_no_memory(name: str) -> bool:
    # The one that looks at memory goes first: in what the others have freed, it would find room for much.
    return name != "ledgers"


def _print(measured: dict[str, Measured], console: Console) -> None:
    table = Table("target", "wanted", "measured", "", title="Targets")
    colors = {"reached": "green", "not reached": "red"}
    for verdict in judge(measured):
        target = verdict.target
        wanted = f"≥ {target.least:g} x" if target.least else f"≤ {target.most:g} x" if target.most else ""
        ratio = "" if verdict.ratio is None else f"{verdict.ratio:.2f} x"
        table.add_row(target.text, wanted, ratio, verdict.word, style=colors.get(verdict.word))
    console.print(table)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_names, default=list(SCENARIOS), help=f"some of: {','.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, help="rounds that count (5)")
    parser.add_argument("--seconds", type=float, help="of each contender in a round of updates (1.2)")
    parser.add_argument(
        "--quick", action="store_true", help="tiny, without fsync: only whether all runs; in build/bench"
    )
    parser.add_argument("--report", action="store_true", help="only write the report again, from results.json")
    parser.add_argument("--output", type=Path, help="folder of RESULTS.md, results.json and plots/ (benchmarks)")
    options = parser.parse_args(arguments)
    if options.output is None:
        options.output = _HERE.parent / "build" / "bench" if options.quick else _HERE
    return options


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SCENARIOS):
        raise argparse.ArgumentTypeError(f"no such scenario: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    main()
