"""Cancelled calls, closed writers, loops that end: nothing that was acknowledged is lost, nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import DuplicateJobId, WriterClosed
from execution_ledger.infrastructure import GroupWriter
from execution_ledger.infrastructure.writing.jobs import Job
from support import Database, ledger
from support.writers import TIMEOUT, OpenWriter, WatchedWriter, create, held, note, queue


async def test_a_cancelled_call_that_waits_takes_its_command_back_and_no_other(
    database: Database, writer: WatchedWriter, engine: AsyncEngine
) -> None:
    await writer.execute(create("a"))
    writer.watch.clear()
    with held(database):
        first = await queue(writer, note("a", "written already"))
        await writer.watch.sent()
        neighbors = [asyncio.create_task(writer.execute(create(f"{at}"))) for at in range(10)]
        thread = writer.submit(create("by a thread"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for at in (0, 4, 5, 9):
            neighbors[at].cancel()
        assert thread.cancel()
    await first[0]
    done = await asyncio.gather(*neighbors, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in done] == [at in (0, 4, 5, 9) for at in range(10)]
    assert [each.id for each in done if not isinstance(each, BaseException)] == list(range(2, 8))
    with pytest.raises(CancelledError):
        thread.result()
    assert len(await ledger.events(engine)) == 2 + 6


async def test_a_call_that_is_cancelled_before_its_round_ends_leaves_nothing(
    writer: WatchedWriter, engine: AsyncEngine
) -> None:
    future = await writer.send([create("a")])
    future.cancel()
    assert (await writer.execute(create("b"))).id == 1
    assert await ledger.types(engine) == ["created"]


async def test_a_call_cancelled_while_it_is_written_is_recorded_whole_and_once(
    database: Database, writer: WatchedWriter, engine: AsyncEngine
) -> None:
    await writer.execute(create("a"))
    writer.watch.clear()
    with held(database):
        task = asyncio.create_task(writer.execute_together([note("a", "1", command_id="c1"), note("a", "2")]))
        await writer.watch.sent()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await writer.execute(note("a", "1", command_id="c1"))).replayed
    assert await ledger.types(engine) == ["created", "noted", "noted"]


async def test_a_threads_call_cannot_be_cancelled_once_it_is_written(
    database: Database, writer: WatchedWriter, engine: AsyncEngine
) -> None:
    await writer.execute(create("a"))
    writer.watch.clear()
    with held(database):
        future = writer.submit(note("a", "1"))
        await writer.watch.sent()
        assert not future.cancel(), "who hears that it was cancelled may take it for undone"
    assert (await asyncio.wrap_future(future)).version == 2
    assert await ledger.types(engine) == ["created", "noted"]


async def test_closing_writes_all_that_was_taken_in(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine
) -> None:
    writer = open_writer(group=3)
    await writer.execute(create("a"))
    writer.watch.clear()
    with held(database):
        futures = await queue(writer, *(note("a", f"{at}") for at in range(10)))
        await writer.watch.sent()
        threads = [writer.submit(create(f"{at}", f"ledger {at}")) for at in range(10)]
        last = await writer.send([note("a", "last")])  # not even handed over to the threads yet
        closing = asyncio.create_task(writer.close())
        await asyncio.sleep(0)
    await closing
    assert [(await each)[0].version for each in (*futures, last)] == list(range(2, 13))
    assert [each.result(0).id for each in threads] == [1] * 10  # type: ignore[union-attr]
    assert len(await ledger.events(engine)) == 12


async def test_what_nobody_began_within_the_timeout_is_refused_and_not_recorded(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine
) -> None:
    writer = open_writer(workers=1)
    await writer.execute(create("a"))
    writer.watch.clear()
    with held(database):
        begun = await queue(writer, note("a", "begun"))
        await writer.watch.sent()
        left = await queue(writer, note("a", "left"), create("b", "other"))
        thread = writer.submit(note("a", "of a thread"))
        await writer.close(timeout=0)
        for each in (*left, asyncio.wrap_future(thread)):
            with pytest.raises(WriterClosed):
                await each
    assert (await begun[0])[0].version == 2
    assert await ledger.types(engine) == ["created", "noted"]
    assert await ledger.events(engine, "other") == []


async def test_a_closed_writer_refuses_and_can_be_closed_again(writer: WatchedWriter, engine: AsyncEngine) -> None:
    await writer.execute(create("a"))
    await writer.close()
    with pytest.raises(WriterClosed):
        await writer.execute(note("a", "1"))
    with pytest.raises(WriterClosed):
        await writer.create_many([{"job_id": "b"}])
    with pytest.raises(WriterClosed):
        writer.submit(note("a", "1")).result(TIMEOUT)
    await writer.close()
    await writer.close(timeout=0)
    writer.close_and_wait()
    assert await ledger.types(engine) == ["created"]


async def test_a_writer_nobody_wrote_with_closes_at_once(database: Database) -> None:
    async with GroupWriter(database.url):
        pass
    GroupWriter(database.url).close_and_wait()


async def test_leaving_the_context_by_an_error_still_writes_what_was_taken_in(
    database: Database, engine: AsyncEngine
) -> None:
    class Mine(Exception):
        pass

    futures: list[Any] = []

    async def work() -> None:
        async with GroupWriter(database.url) as writer:
            futures.append(await writer.send([create("a")]))
            raise Mine

    with pytest.raises(Mine):
        await work()
    assert (await futures[0])[0].id == 1
    assert await ledger.types(engine) == ["created"]


async def test_an_engine_of_the_callers_is_the_callers_to_close(writer: WatchedWriter) -> None:
    await writer.execute(create("a"))
    await writer.close()
    with writer.watch.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM execution_events").scalar() == 1
    writer.watch.engine.dispose()


async def test_a_loop_that_ends_takes_back_what_waits_and_disturbs_nobody(
    database: Database, writer: WatchedWriter, engine: AsyncEngine
) -> None:
    await writer.execute(create("a"))

    async def leave() -> None:
        """Ends while one command is written and another one waits; `asyncio.run` cancels both."""
        tasks = [asyncio.create_task(writer.execute(note("a", text))) for text in ("written", "taken back")]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)

    def abandon() -> None:
        """Ends without a word: nobody hears what becomes of the command."""
        loop = asyncio.new_event_loop()
        future = loop.run_until_complete(writer.send([note("a", "nobody hears")]))
        loop.close()
        assert not future.done()

    writer.watch.clear()
    with held(database):
        begun = await queue(writer, note("a", "begun"))
        await writer.watch.sent()
        await asyncio.to_thread(asyncio.run, leave())
        await asyncio.to_thread(abandon)
        after = await queue(writer, note("a", "after"))
    async with asyncio.timeout(TIMEOUT):
        for each in (*begun, *after):
            await each
    texts = [each.data.split('"')[3] for each in (await ledger.events(engine))[1:]]
    assert texts == ["begun", "nobody hears", "after"]


async def test_a_refusal_nobody_waits_for_is_nobody_elses_trouble(writer: WatchedWriter) -> None:
    await writer.execute(create("a"))
    refused = await writer.send([create("a")])
    assert (await writer.execute(note("a", "1"))).version == 2
    (answer,) = await refused
    assert isinstance(answer, DuplicateJobId)


def test_what_was_committed_of_a_job_is_acknowledged_though_the_writer_closes(database: Database) -> None:
    writer = GroupWriter(database.url)
    future: Future[Any] = Future()
    job = Job([create("a"), create("b")], False, future, answers=["committed"])  # type: ignore[list-item]
    writer._crew._waiting["default"] = deque([job])  # as one that somebody held up in the middle
    writer._gate.enter_from_thread(2)
    writer.close_and_wait(timeout=0)
    assert future.result() == "committed"
