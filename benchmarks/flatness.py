"""What an update costs as the ledger grows, and as the run grows; as many updates of as many executions in each.

Rounds have a number of updates instead of a time, so that all of them find ledgers of nearly the size that was meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import cycle, islice
from time import perf_counter

from .contenders import Client, Contender, make_text, open_ledger
from .fill import Runs, fill
from .results import Measured
from .rounds import Measure, take_turns
from .stores import POSTGRESQL
from .world import World
from .writer import GroupWriter, WriterContender

REPOSITORY_WAY = "repository, 1 client"
WRITER_WAY = "writer, {clients} clients"
LEDGER, RUN = "events in the ledger", "events in the run"
SPREAD = " (over all its runs)"

_LENGTH = 10
_TARGETS = 100


def size_label(events: int, of: str) -> str:
    """The contender's name: how large the ledger or the run is."""
    return f"{events:,} {of}"


async def run(world: World, measured: Measured) -> None:
    """Both ways of writing, each with all sizes in turn."""
    await _ledgers(world, measured)
    await _runs(world, measured)


async def _ledgers(world: World, measured: Measured) -> None:
    sizes = world.scale.ledger_sizes
    urls = {size: world.stores.create(POSTGRESQL) for size in sizes}
    for size, url in urls.items():
        fill(url, [Runs(size // _LENGTH, _LENGTH)], world.console)
    small, large = sizes[0], sizes[-1]

    async def fresh(measure: Callable[[str], Measure]) -> float:
        # The smallest would soon be another size: each round has a copy of its own.
        url = world.stores.copy(urls[small])
        try:
            return await measure(url)()
        finally:
            world.stores.drop(url)

    for way, clients, updates in _ways(world):

        def on(url: str, runs: int, targets: int, clients: int = clients, updates: int = updates) -> Measure:
            ids = range(1, runs + 1, max(1, runs // targets))
            return partial(_measure, url, clients, ids, ids, updates)

        contenders = {size_label(size, LEDGER): on(urls[size], size // _LENGTH, _TARGETS) for size in sizes}
        contenders[size_label(small, LEDGER)] = partial(fresh, partial(on, runs=small // _LENGTH, targets=_TARGETS))
        contenders[size_label(large, LEDGER) + SPREAD] = on(urls[large], large // _LENGTH, updates)
        case = {"store": POSTGRESQL, "flat in": LEDGER, "way": way, "updates": updates}
        measured.results += await take_turns(case, contenders, world.scale, world.console)
    for url in urls.values():
        world.stores.drop(url)


async def _runs(world: World, measured: Measured) -> None:
    """Short runs would not stay short: each round has fresh ones, and what warms up has some of its own."""
    number, (short, long) = world.scale.most_clients, world.scale.run_lengths
    rounds = 2 * (world.scale.rounds + 1)
    url = world.stores.create(POSTGRESQL)
    fill(url, [Runs(number, long), Runs(number * (1 + rounds), short)], world.console)
    longs, warm_up = range(1, number + 1), range(number + 1, 2 * number + 1)
    shorts = (range(start, start + number) for start in range(2 * number + 1, (2 + rounds) * number + 1, number))
    for way, clients, updates in _ways(world):

        async def on_shorts(clients: int = clients, updates: int = updates) -> float:
            return await _measure(url, clients, warm_up, next(shorts), updates)

        contenders: dict[str, Measure] = {
            size_label(short, RUN): on_shorts,
            size_label(long, RUN): partial(_measure, url, clients, warm_up, longs, updates),
        }
        case = {"store": POSTGRESQL, "flat in": RUN, "way": way, "updates": updates}
        measured.results += await take_turns(case, contenders, world.scale, world.console)
    world.stores.drop(url)


def _ways(world: World) -> list[tuple[str, int, int]]:
    """How, by how many clients, and how many updates."""
    clients, updates = world.scale.most_clients, world.scale.flat_updates
    return [(REPOSITORY_WAY, 1, updates), (WRITER_WAY.format(clients=clients), clients, 4 * updates)]


async def _measure(url: str, clients: int, warm_up: Sequence[int], targets: Sequence[int], updates: int) -> float:
    async with _opened(url, clients) as contender:
        await _flow(contender, clients, islice(cycle(warm_up), 10 * clients))  # connections, prepared statements
        begin = perf_counter()
        await _flow(contender, clients, islice(cycle(targets), updates))
        return updates / (perf_counter() - begin)


@asynccontextmanager
async def _opened(url: str, clients: int) -> AsyncIterator[Contender]:
    async with AsyncExitStack() as stack:
        if clients > 1:
            yield WriterContender(await stack.enter_async_context(GroupWriter(url)))
        else:
            contender = await open_ledger(url, clients)
            stack.push_async_callback(contender.close)
            yield contender


async def _flow(contender: Contender, clients: int, targets: Iterable[int]) -> None:
    text, waiting = make_text("small"), iter(targets)

    async def go(client: Client) -> None:
        for target in waiting:
            await client.update(target, text())

    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(contender.client()) for _ in range(clients)]
        await asyncio.gather(*map(go, callers))
