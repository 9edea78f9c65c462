"""Updates per second: every contender, at 1, 8 and 64 clients, with small and with 2 KB payloads, on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from .contenders import (
    CRUD,
    LIBRARY,
    RAW,
    REPOSITORY,
    THROUGH_WRITER,
    WITH_ID,
    WRITER,
    Contender,
    make_text,
    measure,
    open_ledger,
    open_seed,
)
from .library import LibraryContender
from .raw_insert import RawContender
from .results import Measured
from .rounds import Measure, take_turns
from .scale import Scale
from .stores import SQLITE, STORES
from .world import World
from .writer import GroupWriter, WriterContender, open_repository


async def run(world: World, measured: Measured) -> None:
    """Measure all cases; each has a database of its own, which all its contenders share."""
    for store in STORES:
        for clients in world.scale.clients:
            for payload in world.scale.payloads:
                case = {"store": store, "clients": clients, "payload": payload}
                url = world.stores.create(store)
                async with _contenders(store, url, clients, make_text(payload), world.scale) as contenders:
                    measured.results += await take_turns(case, contenders, world.scale, world.console)
                world.stores.drop(url)


@asynccontextmanager
async def _contenders(
    store: str, url: str, clients: int, text: Callable[[], str], scale: Scale
) -> AsyncIterator[dict[str, Measure]]:
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(GroupWriter(url))
        library = LibraryContender(url, clients)
        stack.push_async_callback(library.close)
        contenders: dict[str, Contender] = {
            CRUD: await open_seed(url, clients),
            REPOSITORY: await open_ledger(url, clients),
            REPOSITORY + WITH_ID: await open_ledger(url, clients, with_ids=True),
            THROUGH_WRITER: open_repository(url, clients, writer),
            WRITER: WriterContender(writer),
            WRITER + WITH_ID: WriterContender(writer, with_ids=True),
        }
        if store != SQLITE:
            contenders = {RAW: RawContender(url)} | contenders
        for contender in contenders.values():
            stack.push_async_callback(contender.close)
        measures: dict[str, Measure] = {LIBRARY: partial(library.measure, clients, text, scale)}
        for name, contender in contenders.items():
            measures[name] = partial(measure, contender, clients, text, scale)
        yield measures
