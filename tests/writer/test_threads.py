"""Few threads for whoever comes: many loops, many threads, many ledgers; and none where nothing is to be done."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import LedgerBusy, WriterClosed
from execution_ledger.infrastructure import GroupWriter
from execution_ledger.infrastructure.writing import crew
from support import Database, ledger
from support.audit import audit
from support.writers import TIMEOUT, OpenWriter, WatchedWriter, create, note, update


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "execution-ledger-writer"}


def until_retired(before: set[threading.Thread]) -> None:
    """Wait for the end of every thread that was not there before."""
    deadline = time.monotonic() + TIMEOUT
    while threads() - before:
        assert time.monotonic() < deadline, "a thread without work did not end"
        time.sleep(0.001)


@pytest.fixture
def before() -> set[threading.Thread]:
    return threads()


async def test_threads_that_have_nothing_to_do_end_and_new_ones_go_on(
    monkeypatch: pytest.MonkeyPatch, open_writer: OpenWriter, engine: AsyncEngine, before: set[threading.Thread]
) -> None:
    monkeypatch.setattr(crew, "_IDLE", 0.01)
    writer = open_writer()
    assert threads() == before, "none before there is something to do"
    for at in range(3):
        await asyncio.gather(*(writer.execute(create(f"{at}", f"ledger {number}")) for number in range(20)))
        await asyncio.to_thread(until_retired, before)
    assert len(await ledger.events(engine, "ledger 7")) == 3


async def test_a_command_that_comes_while_a_thread_is_about_to_end_is_written(
    monkeypatch: pytest.MonkeyPatch, open_writer: OpenWriter
) -> None:
    monkeypatch.setattr(crew, "_IDLE", 0.0)  # it is always about to end
    writer = open_writer()
    await writer.execute(create("a"))
    async with asyncio.timeout(TIMEOUT):
        for at in range(100):
            assert (await writer.execute(note("a", f"{at}"))).version == at + 2
            await asyncio.sleep(0)


async def test_the_number_of_threads_and_connections_is_bounded(
    database: Database, open_writer: OpenWriter, before: set[threading.Thread]
) -> None:
    writer = open_writer(workers=3)
    seen: set[threading.Thread] = set()
    connections: set[int] = set()

    @event.listens_for(writer.watch.engine, "before_cursor_execute")
    def count(connection: Any, *_: Any) -> None:
        seen.update(threads() - before)
        connections.add(id(connection.connection.driver_connection))

    await asyncio.gather(*(writer.execute(create(f"{at}", f"ledger {at % 40}")) for at in range(200)))
    most = 1 if database.kind == "sqlite" else 3
    assert 1 <= len(seen) <= most
    assert 1 <= len(connections) <= most


async def test_ten_thousand_ledgers_that_were_used_once_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, database: Database, before: set[threading.Thread]
) -> None:
    monkeypatch.setattr(crew, "_IDLE", 0.01)
    async with GroupWriter(database.url) as writer:
        # Most of what is asked for is not there, which takes the same way and less of the test's time.
        requests = [
            note("job", "n", f"ledger {at}") if at % 50 else create("job", f"ledger {at}") for at in range(10_000)
        ]
        futures = [await writer.send([each]) for each in requests]
        assert len(threads() - before) <= 4
        answers = [(await each)[0] for each in futures]
        await asyncio.to_thread(until_retired, before)
        left = vars(writer._crew) | vars(writer._gate)
        assert {name: each for name, each in left.items() if isinstance(each, dict | set) and each} == {}
        assert left["_size"] == len(left["_line"]) == 0
    assert [at for at, each in enumerate(answers) if each is not None] == list(range(0, 10_000, 50))
    assert len({each.execution_id for each in answers if each is not None}) == 200


async def test_loops_and_threads_may_share_a_writer(writer: WatchedWriter, database: Database) -> None:
    await writer.execute_together([create(f"{at}") for at in range(5)])

    async def client(name: str) -> list[str]:
        sent = []
        for at in range(10):
            sent.append(f"{name} {at}")
            assert await writer.execute(note(f"{at % 5}", sent[-1])) is not None
        return sent

    async def clients(loop: str) -> list[str]:
        return [text for sent in await asyncio.gather(*(client(f"{loop} {at}") for at in range(4))) for text in sent]

    def thread(name: str) -> list[str]:
        sent = [f"{name} {at}" for at in range(20)]
        futures = [writer.submit(note(f"{at % 5}", text)) for at, text in enumerate(sent)]
        assert all(each.result(TIMEOUT) is not None for each in futures)
        return sent

    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(asyncio.run, clients(f"loop {at}")) for at in range(3)]
        work += [pool.submit(thread, f"thread {at}") for at in range(3)]
        sent = [text for each in work for text in await asyncio.wrap_future(each)]
    events = audit(database.url)["default"].events[5:]
    texts = [each["payload"]["text"] for each in events]
    assert sorted(texts) == sorted(sent)
    # What one client sent about one execution stands there in the order in which it was sent.
    of_client: dict[tuple[Any, str], list[int]] = {}
    for each, text in zip(events, texts, strict=True):
        name, _, number = text.rpartition(" ")
        of_client.setdefault((each["execution_id"], name), []).append(int(number))
    assert all(numbers == sorted(numbers) for numbers in of_client.values())


async def test_commands_for_one_execution_run_in_the_order_they_were_sent_however_they_name_it(
    writer: WatchedWriter, database: Database
) -> None:
    await writer.execute_together([create("a"), create("taken")])
    futures = []
    for at in range(30):
        target: int | str = 1 if at % 2 else "a"
        requests = [note(target, f"{at}")]
        if at % 7 == 0:
            requests.insert(0, create("taken"))  # makes the group be decided again
        futures.append(await writer.send(requests))
        await asyncio.sleep(0)
    for each in futures:
        await each
    texts = [each["payload"]["text"] for each in audit(database.url)["default"].events[2:]]
    assert texts == [f"{at}" for at in range(30)]


def hammered(writer: GroupWriter, name: str, acknowledged: list[str]) -> Iterator[None]:
    """Sends without end, and notes what was acknowledged, until the writer closes."""
    at = 0
    while True:
        try:
            writer.submit(note("a", f"{name} {at}")).result(TIMEOUT)
        except WriterClosed:
            return
        acknowledged.append(f"{name} {at}")
        at += 1
        yield


@pytest.mark.parametrize("timeout", [None, 0])
async def test_a_writer_closed_amid_traffic_keeps_exactly_what_it_acknowledged(
    open_writer: OpenWriter, database: Database, timeout: float | None
) -> None:
    writer = open_writer(capacity=8)
    await writer.execute(create("a"))
    acknowledged: list[str] = []
    busy = threading.Semaphore(0)

    def thread(name: str) -> None:
        for _ in hammered(writer, name, acknowledged):
            busy.release()

    async def loop(name: str) -> None:
        async def client(name: str) -> None:
            for at in range(10**6):
                try:
                    await writer.execute(note("a", f"{name} {at}"))
                except WriterClosed:
                    return
                acknowledged.append(f"{name} {at}")
                busy.release()

        await asyncio.gather(*(client(f"{name} {at}") for at in range(6)))

    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(thread, f"thread {at}") for at in range(3)]
        work += [pool.submit(asyncio.run, loop(f"loop {at}")) for at in range(3)]
        for _ in range(100):
            await asyncio.to_thread(busy.acquire)
        await writer.close(timeout)
        for each in work:
            await asyncio.wrap_future(each)
    texts = [each["payload"]["text"] for each in audit(database.url)["default"].events[1:]]
    assert len(acknowledged) >= 100
    assert sorted(texts) == sorted(acknowledged)


async def test_many_clients_of_one_execution_each_have_a_version_of_their_own(writer: WatchedWriter) -> None:
    await writer.execute(create("a"))
    outcomes = await asyncio.gather(*(writer.execute(update("a", message=f"{at}")) for at in range(200)))
    assert sorted(each.version for each in outcomes) == list(range(2, 202))
    assert [each.row["message"] for each in outcomes] == [f"{at}" for at in range(200)]
    assert sorted(each.first_position for each in outcomes) == list(range(2, 202))


async def test_a_thread_that_cannot_start_is_told_and_does_no_lasting_harm(
    monkeypatch: pytest.MonkeyPatch, open_writer: OpenWriter
) -> None:
    writer = open_writer(workers=1)

    def fail(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(crew.Thread, "start", fail)
        with pytest.raises(LedgerBusy, match="thread"):
            await writer.execute(create("a"))
    assert (await writer.execute(create("a"))).version == 1
    await asyncio.wait_for(writer.close(), TIMEOUT)
