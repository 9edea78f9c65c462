"""The page in a real browser, over small ledgers and large ones: `make bench-page` writes PAGE.md.

Apart from the other scenarios, since it needs a Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from playwright.async_api import Browser, Page, async_playwright
from rich.console import Console

from execution_ledger.domain import Command, Create, FinishStep, Note, StartStep, Update
from execution_ledger.infrastructure import GroupWriter, Request

from .facts import collect_facts
from .fill import Runs, fill
from .http_load import Connection
from .page_scripts import FIRST, PAN, SCROLL, SEARCH, SLIDE, TIMELINE
from .results import Result
from .scale import QUICK, Scale
from .service import serving
from .stores import POSTGRESQL, execute, start_stores
from .tables import table

from support.chromium import FLAGS, find_chromium  # isort: skip (`stores` says where that is)

RUNS, EVENTS, STEPS = (10_000, 1_000_000), (1_000, 50_000), (1_000, 12_000)
QUICK_RUNS, QUICK_EVENTS, QUICK_STEPS = (60,), (30,), (20,)
_LANES = 9_000
_FRAMES = 120
_BEGIN = 1_767_225_600
"""When the first run of a filled ledger was created."""
_ENDED = """UPDATE execution_history SET status = CASE WHEN id % 50 = 0 THEN 'failed' ELSE 'completed' END,
    completed_at = created_at + (5 + id % 60) * interval '1 s'"""
_HEAD = """\
# The page, measured in a browser

Written by `make bench-page`. Milliseconds in headless Chromium without a graphics card, on the machine that also runs
the service (`execution-ledger serve`, a process of its own) and PostgreSQL. Medians of the rounds, with the lowest and
the highest; each round opens a new browser context, so that nothing is cached.

- **first rows**: from the start of the navigation until the first rows are in the document.
- **scroll**: 120 frames in each of which the list is moved on by 300 pixels, over rows that are read meanwhile; the
  time between two frames, of which a screen asks for 16.7 ms.
- **search**: from a key until the rows that begin so are shown, without the 180 ms for which the page waits for the
  next key.
- **lanes**: the time between two frames while up to 9,000 runs are moved.
- **whole timeline**: from the start of the navigation until the timeline tells of every step and of the end of the run.
- **timeline, a frame**: the time between two frames while the steps are scrolled as the lists are.
- **slider step**: from the input until the state of another moment, anywhere in the run, and its event are shown.
"""


async def measure(
    runs: Sequence[int], events: Sequence[int], steps: Sequence[int], scale: Scale, console: Console
) -> str:
    """All rounds over all sizes, as a report."""
    results: list[Result] = []
    with start_stores(fsync=scale.fsync) as stores:
        facts = collect_facts(stores, scale)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
            facts["Browser"] = f"Chromium {browser.version}"
            for number in runs:
                url = stores.create(POSTGRESQL)
                fill(url, [Runs(number, 1)], console)
                execute(url, _ENDED, "VACUUM ANALYZE execution_history")
                results += await _over(url, browser, scale, f"{number:,} runs", _ask_runs, number, console)
            for number in events:
                url = stores.create(POSTGRESQL)
                await _write(url, _events(number))
                results += await _over(url, browser, scale, f"a run of {number:,} events", _ask_run, number, console)
            for number in steps:
                url = stores.create(POSTGRESQL)
                await _write(url, _steps(number))
                results += await _over(url, browser, scale, f"a run of {number:,} steps", _ask_steps, number, console)
            await browser.close()
    return _report(results, facts)


def _events(events: int) -> list[Command]:
    """A run of so many: messages, in every ten a note, in every hundred a step."""
    commands: list[Command] = [Create.of({"job_id": "run-1", "run_name": "long", "status": "running"})]
    for version in range(2, events + 1):
        if version % 100 == 1:
            commands.append(StartStep.of(f"step-{version // 100}"))
        elif version % 100 == 99 and version > 100:
            commands.append(FinishStep.of(f"step-{version // 100}"))
        elif version % 10 == 0:
            commands.append(Note.of(f"line {version}", source="stdout"))
        else:
            commands.append(Update.of({"message": f"row {version}"}))
    return commands


def _steps(steps: int) -> list[Command]:
    """A run of so many, ten inside each outer one, that has ended: two events for each."""
    commands: list[Command] = [Create.of({"job_id": "run-1", "run_name": "rich", "status": "running"})]
    for begin in range(0, steps, 11):
        inner = [f"step-{at}" for at in range(begin + 1, min(begin + 11, steps))]
        commands.append(StartStep.of(f"step-{begin}"))
        for name in inner:
            commands += [StartStep.of(name, parent_step_id=f"step-{begin}"), FinishStep.of(name)]
        commands.append(FinishStep.of(f"step-{begin}"))
    return [*commands, Update.of({"status": "completed"})]


async def _write(url: str, commands: Sequence[Command]) -> None:
    async with GroupWriter(url) as writer:
        for at in range(0, len(commands), 1_000):
            await writer.execute_together([Request("default", "run-1", each) for each in commands[at : at + 1_000]])


Ask = Callable[[Page, str, int, int], Awaitable[dict[str, float]]]


async def _over(
    url: str, browser: Browser, scale: Scale, what: str, ask: Ask, size: int, console: Console
) -> list[Result]:
    """The rounds over one ledger; the first warms up and does not count."""
    found: dict[str, list[float]] = {}
    command = [sys.executable, "-m", "execution_ledger.api.cli", "serve"]
    async with serving(command, url, "api/v1/ledger") as address:
        await _until_projected(address)
        for number in range(scale.rounds + 1):
            context = await browser.new_context(viewport={"width": 1440, "height": 900})
            page = await context.new_page()
            page.set_default_timeout(120_000)
            told = await ask(page, address, size, number)
            for name, value in told.items() if number else ():
                found.setdefault(name, []).append(value)
            await context.close()
    for name, rounds in found.items():
        console.print(f"  {what}, {name}: {', '.join(f'{each:.1f}' for each in rounds)} ms")
    return [Result(name, {"what": what}, rounds, "ms") for name, rounds in found.items()]


async def _ask_runs(page: Page, address: str, runs: int, number: int) -> dict[str, float]:
    await page.goto(address, wait_until="commit")
    first = await page.evaluate(FIRST, "[data-job]")
    scrolled = await page.evaluate(SCROLL, [".virtual", _FRAMES])
    wanted = f"run-{number * 7919 % (runs // 2) + 1}"  # not one of the first rows
    await page.goto(address)
    await page.wait_for_selector("[data-job]")
    searched = await page.evaluate(SEARCH, wanted)
    begin, end = _iso(_BEGIN + max(0, runs - _LANES)), _iso(_BEGIN + runs)
    await page.goto(f"{address}/lanes?from={begin}&to={end}&by=none")
    await page.wait_for_selector(".lane-chart canvas")
    moved = await page.evaluate(PAN, _FRAMES)
    return {
        "first rows": first,
        "scroll, a frame": median(scrolled),
        "scroll, the longest frame": max(scrolled),
        "search": searched,
        "lanes, a frame": median(moved),
        "lanes, the longest frame": max(moved),
    }


async def _ask_run(page: Page, address: str, events: int, number: int) -> dict[str, float]:
    await page.goto(f"{address}/run/run-1", wait_until="commit")
    first = await page.evaluate(FIRST, ".event-button")
    scrolled = await page.evaluate(SCROLL, [".event-list", _FRAMES])
    steps = [
        await page.evaluate(SLIDE, (number * 20 + step) * 104_729 % (events // 10) * 10 + 5)  # anywhere, not in order
        for step in range(20)
    ]
    return {
        "first rows": first,
        "scroll, a frame": median(scrolled),
        "scroll, the longest frame": max(scrolled),
        "slider step": median(steps),
        "slider step, the longest of 20": max(steps),
    }


async def _ask_steps(page: Page, address: str, steps: int, number: int) -> dict[str, float]:
    await page.goto(f"{address}/run/run-1", wait_until="commit")
    whole = await page.evaluate(TIMELINE, f"Completed . {steps:,} steps")
    scrolled = await page.evaluate(SCROLL, [".gantt-scroll", _FRAMES])
    return {
        "whole timeline": whole,
        "timeline, a frame": median(scrolled),
        "timeline, the longest frame": max(scrolled),
    }


def _iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _until_projected(address: str) -> None:
    """What a service does with a ledger that it has never seen is done before."""
    connection = await Connection.open(address)
    begin = perf_counter()
    while True:
        ledger = json.loads(await connection.request("GET", "/api/v1/ledger"))
        if ledger["projections"] and not any(each["lag"] for each in ledger["projections"]):
            return connection.close()
        assert perf_counter() - begin < 3_600, "the projections do not catch up"
        await asyncio.sleep(1)


def _report(results: Sequence[Result], facts: Mapping[str, str]) -> str:
    def shown(result: Result) -> list[str]:
        lowest, highest = min(result.rounds), max(result.rounds)
        what = [str(result.case["what"]), result.contender]
        return [*what, f"**{result.median:,.1f}**", f"{lowest:,.1f}", f"{highest:,.1f}"]

    rows = map(shown, results)
    told = table(["machine", ""], ([name, value] for name, value in facts.items()), 2)
    return "\n".join([_HEAD, table(["", "", "ms", "lowest", "highest"], rows, 2), told])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="just try it: the numbers mean nothing")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "PAGE.md")
    options = parser.parse_args(arguments)
    sizes, scale = (
        ((QUICK_RUNS, QUICK_EVENTS, QUICK_STEPS), QUICK) if options.quick else ((RUNS, EVENTS, STEPS), Scale())
    )
    report = asyncio.run(measure(*sizes, scale, Console()))
    options.output.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
