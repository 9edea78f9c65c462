"""One old snapshot: a transaction that has read and stays open, while updates go through the writer."""

from __future__ import annotations

import asyncio
from itertools import cycle
from time import perf_counter

from psycopg import AsyncConnection, IsolationLevel

from .contenders import Client, make_text
from .results import Curve, Measured, Result
from .stores import POSTGRESQL, conninfo
from .world import World
from .writer import GroupWriter, WriterContender

BEFORE, HELD, AFTER = "before", "at the end of the old snapshot", "after it is closed"


async def run(world: World, measured: Measured) -> None:
    """Each round in a database of its own, since the head of an earlier one would have left its versions behind."""
    updates = world.scale.snapshot_updates
    case = {"store": POSTGRESQL, "clients": world.scale.most_clients, "updates": updates}
    world.console.print(f"one old snapshot, {updates:,} updates", style="bold")
    rounds: dict[str, list[float]] = {BEFORE: [], HELD: [], AFTER: []}
    for number in range(world.scale.rounds + 1):
        url = world.stores.create(POSTGRESQL)
        phases = await _round(url, world.scale.most_clients, updates)
        world.stores.drop(url)
        window = updates // 30
        rates = [_rates(times, window) for times in phases]
        ends = [_rates(times, len(times) // 2 if len(times) < 6 * window else 3 * window)[-1] for times in phases]
        counts = f"round {number}" if number else "warm-up"
        shown = (f"{name} {rate:,.0f}" for name, rate in zip(rounds, ends, strict=True))
        world.console.print(f"  {counts:<8} {', '.join(shown)} updates/s", style=None if number else "dim")
        if number:
            for name, rate in zip(rounds, ends, strict=True):
                rounds[name].append(rate)
            measured.curves.append(_curve(f"round {number}", rates, window))
    measured.results += [Result(name, case, rates) for name, rates in rounds.items()]


async def _round(url: str, clients: int, updates: int) -> list[list[float]]:
    """The times of all updates: before, with and after the snapshot."""
    async with GroupWriter(url) as writer, await AsyncConnection.connect(conninfo(url)) as other:
        await other.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        contender, text = WriterContender(writer), make_text("small")
        async with contender.client() as client:
            targets = cycle([await client.create() for _ in range(2 * clients)])

            async def flow(number: int) -> list[float]:
                times, left = [perf_counter()], iter(range(number))

                async def go(client: Client) -> None:
                    for _ in left:
                        await client.update(next(targets), text())
                        times.append(perf_counter())

                await asyncio.gather(*(go(client) for _ in range(clients)))
                return times

            before = await flow(updates // 5)
            await other.execute("SELECT count(*) FROM ledgers")
            held = await flow(updates)
            await other.rollback()
            return [before, held, await flow(updates // 5)]


def _rates(times: list[float], window: int) -> list[float]:
    """Updates per second in each window; the last windows are whole ones."""
    ends = range(len(times) - 1, window - 1, -window)
    return [window / (times[end] - times[end - window]) for end in reversed(ends)]


def _curve(name: str, phases: list[list[float]], window: int) -> Curve:
    """Rates by updates done, counted from where the snapshot begins."""
    rates = [rate for phase in phases for rate in phase]
    start = -len(phases[0])
    return Curve(name, [(start + at + 0.5) * window for at in range(len(rates))], rates)
