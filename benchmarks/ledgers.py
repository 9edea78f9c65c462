"""64 clients on a ledger each, and all on one, while 10,000 others lie idle; and the memory that takes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

import psutil
from rich.progress import track

from .contenders import make_text, measure
from .results import Curve, Measured, Result
from .rounds import Measure, take_turns
from .stores import POSTGRESQL
from .world import World
from .writer import GroupWriter, WriterContender, create

ONE = "all clients on one ledger"
MANY = "each client on a ledger of its own"
MEMORY = (
    "memory before the idle ledgers",
    "memory with the idle ledgers",
    "memory after the warm-up",
    "memory after the last round",
)


async def run(world: World, measured: Measured) -> None:
    """Fill the idle ledgers through the same writer, since having served a ledger must not cost anything later."""
    scale = world.scale
    clients, text = scale.most_clients, make_text("small")
    case = {"store": POSTGRESQL, "clients": clients, "idle ledgers": scale.idle_ledgers}
    url = world.stores.create(POSTGRESQL)
    async with GroupWriter(url) as writer:
        await _warm_up(writer, world)
        memory = [_memory()]
        await _fill(writer, world)
        memory.append(_memory())
        one, many = WriterContender(writer), WriterContender(writer, ledgers=scale.busy_ledgers)
        contenders: dict[str, Measure] = {
            ONE: partial(measure, one, clients, text, scale),
            MANY: _then(partial(measure, many, clients, text, scale), lambda: memory.append(_memory())),
        }
        measured.results += await take_turns(case, contenders, scale, world.console)
    course = zip(MEMORY, (*memory[:3], memory[-1]), strict=True)
    measured.results += [Result(name, case, [each], "MiB") for name, each in course]
    measured.curves.append(Curve("memory", [float(at) for at in range(len(memory))], memory))
    shown = ", ".join(f"{each:,.1f}" for each in memory)
    world.console.print(f"  MiB of memory before, with the idle ledgers, after each round: {shown}")


async def _warm_up(writer: GroupWriter, world: World) -> None:
    """What the process loads and compiles with its first commands is not what ledgers cost."""
    contender = WriterContender(writer)
    await measure(contender, world.scale.most_clients, make_text("small"), world.scale)


async def _fill(writer: GroupWriter, world: World) -> None:
    numbers = count(1_000_000)  # not the busy ones
    total, at_once = world.scale.idle_ledgers, world.scale.most_clients
    for _ in track(range(0, total, at_once), "  idle ledgers", console=world.console, transient=True):
        await asyncio.gather(*(create(writer, f"idle-{next(numbers)}") for _ in range(at_once)))


def _then(measure: Callable[[], Awaitable[float]], do: Callable[[], object]) -> Measure:
    async def both() -> float:
        result = await measure()
        do()
        return result

    return both


def _memory() -> float:
    """Resident, in MiB, without what only waits to be collected."""
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20
