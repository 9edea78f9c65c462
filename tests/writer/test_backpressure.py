"""Who finds the writer full waits his turn, first come first served, and nobody is forgotten there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import WriterClosed
from execution_ledger.infrastructure import GroupWriter, Outcome
from support import Database, ledger
from support.writers import TIMEOUT, OpenWriter, WatchedWriter, create, held, note, queue, watch_appends


async def messages(engine: AsyncEngine) -> list[str]:
    """The texts of all notes, in order."""
    return [each.data.split('"')[3] for each in await ledger.events(engine) if each.type == "execution.noted"]


async def full(writer: WatchedWriter, *texts: str) -> list[asyncio.Future[Any]]:
    """Let the writer begin on these notes; the database is held."""
    writer.watch.clear()
    futures = await queue(writer, *(note("a", text) for text in texts))
    await writer.watch.sent()
    return futures


async def rounds(count: int = 5) -> None:
    """Let every task that can run come to its next wait."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_full_writer_lets_coroutines_in_in_the_order_they_came(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine
) -> None:
    writer = open_writer(capacity=2)
    await writer.execute(create("a"))
    with held(database):
        first = await full(writer, "0", "1")
        waiting = [asyncio.create_task(writer.send([note("a", f"{at}")])) for at in range(2, 12)]
        await rounds()
        assert not any(each.done() for each in waiting), "two are inside already"
    for each in [*first, *[await each for each in waiting]]:
        await each
    assert await messages(engine) == [f"{at}" for at in range(12)]


async def test_a_latecomer_does_not_overtake_who_was_called_in_but_did_not_come_yet(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine
) -> None:
    writer = open_writer(capacity=1)
    await writer.execute(create("a"))

    async def come_late() -> asyncio.Future[Any]:
        while not first.done():
            await asyncio.sleep(0)
        return await writer.send([note("a", "2")])  # in the round in which there is room, before who waits could run

    with held(database):
        (first,) = await full(writer, "0")
        waits = asyncio.create_task(writer.send([note("a", "1")]))
        late = asyncio.create_task(come_late())
        await rounds()
    await asyncio.gather(await waits, await late)
    assert await messages(engine) == ["0", "1", "2"]


async def test_threads_wait_for_room_too(database: Database, open_writer: OpenWriter, engine: AsyncEngine) -> None:
    writer = open_writer(capacity=3)
    await writer.execute(create("a"))
    begun = threading.Semaphore(0)

    def send(name: int) -> list[Future[Outcome | None]]:
        futures = []
        for at in range(10):
            begun.release()
            futures.append(writer.submit(note("a", f"{name} {at}")))
        return futures

    with ThreadPoolExecutor(4) as pool:
        with held(database):
            await full(writer, "x")
            sending = [pool.submit(send, name) for name in range(4)]
            for _ in range(6):  # two get in, four stand before the gate
                await asyncio.to_thread(begun.acquire)
            assert not any(each.done() for each in sending)
        futures = [await asyncio.wrap_future(each) for each in sending]
        for each in (future for of_thread in futures for future in of_thread):
            assert await asyncio.wrap_future(each) is not None
    found = [text.split() for text in await messages(engine) if text != "x"]
    assert len(found) == 40
    for name in range(4):
        assert [at for of, at in found if of == f"{name}"] == [f"{at}" for at in range(10)], "each in its own order"


async def test_no_more_commands_are_inside_than_the_writer_takes(open_writer: OpenWriter) -> None:
    writer = open_writer(capacity=5, group=100)
    await writer.execute(create("a"))
    sizes = watch_appends(writer)
    await asyncio.gather(*(writer.execute(note("a", f"{at}")) for at in range(50)))
    assert sum(sizes) == 50
    assert max(sizes) <= 5


async def test_commands_that_never_fit_beside_others_go_in_alone(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine
) -> None:
    writer = open_writer(capacity=2)
    await writer.execute(create("a"))
    with held(database):
        first = await full(writer, "0")
        large = asyncio.create_task(writer.execute_together([note("a", f"{at}") for at in range(1, 8)]))
        await rounds()
        small = asyncio.create_task(writer.execute(note("a", "8")))
        await rounds()
    await asyncio.gather(*first, large, small)
    assert await messages(engine) == [f"{at}" for at in range(9)]


async def test_who_waits_for_more_room_than_there_is_lets_the_processor_rest(
    database: Database, open_writer: OpenWriter
) -> None:
    writer = open_writer(capacity=4)
    await writer.execute(create("a"))
    with held(database):
        first = await full(writer, "0", "1", "2")
        waits = asyncio.create_task(writer.execute_together([note("a", f"{at}") for at in range(3)]))
        await rounds()
        loop = asyncio.get_running_loop()
        woken: list[object] = []
        call, loop.call_soon_threadsafe = loop.call_soon_threadsafe, lambda *of, **o: woken.append(of)  # type: ignore
        try:
            await rounds(50)
        finally:
            loop.call_soon_threadsafe = call  # type: ignore[method-assign]
        assert woken == []
        assert not waits.done()
    await asyncio.gather(*first, waits)


async def give_up(writer: GroupWriter, waits: asyncio.Task[Any]) -> None:
    waits.cancel()


async def give_up_once_called_in(writer: GroupWriter, waits: asyncio.Task[Any]) -> None:
    """At the moment when there is room, before it could be used."""
    first = writer.first  # type: ignore[attr-defined]
    first.add_done_callback(lambda _: waits.cancel())


@pytest.mark.parametrize("how", [give_up, give_up_once_called_in], ids=["in the line", "when called in"])
async def test_who_gives_up_waiting_leaves_his_room_to_the_next(
    database: Database,
    open_writer: OpenWriter,
    engine: AsyncEngine,
    how: Callable[[Any, asyncio.Task[Any]], Awaitable[None]],
) -> None:
    writer = open_writer(capacity=1)
    await writer.execute(create("a"))
    with held(database):
        (writer.first,) = await full(writer, "0")  # type: ignore[attr-defined]
        gives_up = asyncio.create_task(writer.execute(note("a", "1")))
        await rounds()
        next_one = asyncio.create_task(writer.execute(note("a", "2")))
        await rounds()
        await how(writer, gives_up)
    async with asyncio.timeout(TIMEOUT):
        await next_one
        await asyncio.gather(gives_up, return_exceptions=True)
        await writer.execute(note("a", "3"))
    found = await messages(engine)
    assert found in (["0", "2", "3"], ["0", "1", "2", "3"])
    if how is give_up:
        assert found == ["0", "2", "3"]


async def test_who_waits_in_a_loop_that_ends_holds_up_nobody(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine
) -> None:
    writer = open_writer(capacity=1)
    await writer.execute(create("a"))

    async def wait_in_vain() -> None:
        task = asyncio.create_task(writer.execute(note("a", "never")))
        await rounds()
        assert not task.done()

    def end_early() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(writer.execute(note("a", "nobody hears")))
        loop.run_until_complete(rounds())
        loop.close()  # without cancelling who waits, as `asyncio.run` would
        assert not task.done()
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    with held(database):
        first = await full(writer, "0")
        await asyncio.to_thread(asyncio.run, wait_in_vain())
        await asyncio.to_thread(end_early)
        after = asyncio.create_task(writer.execute(note("a", "1")))
        await rounds()
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(*first, after)
        await writer.execute(note("a", "2"))
    assert await messages(engine) == ["0", "1", "2"]


async def test_who_waits_for_room_when_the_writer_closes_is_refused(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine
) -> None:
    writer = open_writer(capacity=1)
    await writer.execute(create("a"))
    with held(database):
        first = await full(writer, "0")
        coroutine = asyncio.create_task(writer.execute(note("a", "1")))
        thread = asyncio.create_task(asyncio.to_thread(writer.submit, note("a", "2")))
        await rounds()
        closing = asyncio.create_task(writer.close())
        for waits in (coroutine, thread):
            with pytest.raises(WriterClosed):
                await waits
        assert not closing.done()
    await asyncio.gather(*first, closing)
    assert await messages(engine) == ["0"]
