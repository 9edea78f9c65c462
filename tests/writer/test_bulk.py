"""Commands without number: streamed, counted, reported; their ids in the order they came."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import DuplicateJobId, InvalidInput, LedgerError
from execution_ledger.infrastructure import BulkReport, Request
from execution_ledger.infrastructure.tables import execution_streams
from execution_ledger.infrastructure.writing import bulk
from support import Database, ledger
from support.writers import OpenWriter, WatchedWriter, create, held, note, update


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(bulk, "CHUNK", 10)
    return 10


async def job_ids(engine: AsyncEngine, name: str = "default") -> list[str]:
    """In the order of their ids."""
    column = execution_streams.c
    statement = select(column.job_id).where(column.ledger_id == name).order_by(column.id)
    return [row.job_id for row in await ledger.rows(engine, statement)]


def jobs(count: int) -> Iterator[dict[str, Any]]:
    return ({"job_id": f"job-{at}", "message": f"{at}"} for at in range(count))


async def test_executions_are_created_with_ids_in_the_order_they_came(
    writer: WatchedWriter, engine: AsyncEngine
) -> None:
    # In chunks of unequal size: the second one is ready long before the first.
    for name in ("warm", "default"):
        report = await writer.create_many(jobs(520), ledger=name, actor="ada", reason="imported")
        assert report == BulkReport(done=520, refused=0, missing=0)
        assert await job_ids(engine, name) == [f"job-{at}" for at in range(520)]
    events = await ledger.events(engine)
    assert {(each.actor, each.reason, each.type) for each in events} == {("ada", "imported", "execution.created")}


async def test_a_refusal_in_one_chunk_lets_no_later_chunk_overtake_it(
    writer: WatchedWriter, engine: AsyncEngine
) -> None:
    for name in ("warm", "default"):
        await writer.execute(create("job-7", name))
        report = await writer.create_many(jobs(520), ledger=name, refused=lambda *_: None)
        assert report == BulkReport(done=519, refused=1, missing=0)
        assert await job_ids(engine, name) == ["job-7", *(f"job-{at}" for at in range(520) if at != 7)]


async def numbered(count: int) -> AsyncIterator[dict[str, Any]]:
    for each in jobs(count):
        await asyncio.sleep(0)
        yield each


async def test_every_kind_of_iterable_will_do(writer: WatchedWriter, small_chunks: int) -> None:
    assert await writer.create_many([]) == (0, 0, 0)
    assert await writer.create_many(list(jobs(25)), ledger="list") == (25, 0, 0)
    assert await writer.create_many(jobs(25), ledger="generator") == (25, 0, 0)
    assert await writer.create_many(numbered(25), ledger="async generator") == (25, 0, 0)
    assert await writer.create_many(({} for _ in range(25)), ledger="nameless") == (25, 0, 0)
    assert await writer.execute_many([note("job-1", "n", "list")]) == (1, 0, 0)
    assert await writer.execute_many(note("job-1", "n", "list") for _ in range(3)) == (3, 0, 0)


async def test_a_source_is_read_no_further_than_is_written(
    database: Database, open_writer: OpenWriter, small_chunks: int
) -> None:
    writer = open_writer()
    await writer.execute(create("a"))
    drawn = told = most = 0

    def source() -> Iterator[Request]:
        nonlocal drawn, most
        for at in range(500):
            drawn += 1
            most = max(most, drawn - told)
            yield note("a", f"{at}")

    def progress(done: int) -> None:
        nonlocal told
        told = done

    writer.watch.clear()
    with held(database):
        task = asyncio.create_task(writer.execute_many(source(), progress=progress))
        await writer.watch.sent()
        for _ in range(20):
            await asyncio.sleep(0)
        ahead = drawn
        assert not task.done()
    assert await task == (500, 0, 0)
    assert ahead <= 4 * small_chunks
    assert most <= 4 * small_chunks


async def test_a_source_longer_than_the_writers_capacity_gets_through(
    open_writer: OpenWriter, engine: AsyncEngine, small_chunks: int
) -> None:
    writer = open_writer(capacity=3, group=7)
    reports = await asyncio.gather(*(writer.create_many(jobs(45), ledger=name) for name in ("red", "blue")))
    assert reports == [(45, 0, 0)] * 2
    for name in ("red", "blue"):
        assert await job_ids(engine, name) == [f"job-{at}" for at in range(45)]


async def test_progress_grows_to_the_whole(writer: WatchedWriter, small_chunks: int) -> None:
    told: list[int] = []
    await writer.create_many(jobs(95), progress=told.append)
    assert told == sorted(set(told))
    assert len(told) >= 95 // small_chunks
    assert told[-1] == 95
    told.clear()
    requests = [note("job-1", "n"), note("missing", "n"), create("job-1"), note("job-2", "n")] * 5
    refused: list[Any] = []
    report = await writer.execute_many(
        requests, progress=told.append, refused=lambda request, error: refused.append((request, error))
    )
    assert report == BulkReport(done=10, refused=5, missing=5)
    assert told[-1] == 20
    assert [request for request, _ in refused] == [requests[2]] * 5
    assert {type(error) for _, error in refused} == {DuplicateJobId}


async def test_what_is_refused_is_told_with_its_data_and_the_rest_is_created(
    writer: WatchedWriter, engine: AsyncEngine, small_chunks: int
) -> None:
    await writer.execute(create("job-3"))
    wrong: list[Any] = [{"job_id": "w1", "color": "red"}, {"job_id": 5}, ["no mapping"], {"job_id": "job-1"}]
    source = [*jobs(15), *wrong, *({"color": at} for at in range(25)), {"job_id": "last", "status": "completed"}]
    refused: list[tuple[Any, LedgerError]] = []
    report = await writer.create_many(source, refused=lambda data, error: refused.append((data, error)))
    assert report == BulkReport(done=15, refused=30, missing=0)
    assert [data for data, _ in refused] == [source[3], *wrong, *source[19:44]]
    expected = [DuplicateJobId, InvalidInput, InvalidInput, InvalidInput, DuplicateJobId, *[InvalidInput] * 25]
    assert [type(error) for _, error in refused] == expected
    created = ["job-3", *(f"job-{at}" for at in range(15) if at != 3), "last"]
    assert await job_ids(engine) == created


async def test_without_a_word_for_refusals_the_first_one_is_raised_and_what_was_sent_is_recorded(
    writer: WatchedWriter, engine: AsyncEngine, small_chunks: int
) -> None:
    await writer.execute(create("job-12"))
    with pytest.raises(DuplicateJobId) as refused:
        await writer.create_many(jobs(10_000))
    assert refused.value.key == "job-12"
    created = await job_ids(engine)
    assert created[:13] == ["job-12", *(f"job-{at}" for at in range(12))]
    await writer.execute(create("after"))
    assert await job_ids(engine) == [*created, "after"], "nothing went on after it was raised"
    assert len(created) <= 2 + 6 * small_chunks
    with pytest.raises(InvalidInput, match="color"):
        await writer.create_many([{"color": "red"}])


async def test_commands_of_many_ledgers_stay_in_order_in_each(
    writer: WatchedWriter, engine: AsyncEngine, small_chunks: int
) -> None:
    names = ("red", "green", "blue")
    requests = [create(f"{at}", name) for at in range(5) for name in names]
    requests += [note(f"{at % 5}", f"{at}", name) for at in range(30) for name in names[: at % 3 + 1]]
    requests += [update("0", "red", message="last")] * 25
    assert await writer.execute_many(requests) == (len(requests), 0, 0)
    for name in names:
        assert await job_ids(engine, name) == ["0", "1", "2", "3", "4"]
        sent = Counter(each.target for each in requests if each.ledger == name and "text" in dir(each.command))
        texts: dict[Any, list[int]] = {}
        for each in await ledger.events(engine, name):
            if each.type == "execution.noted":
                texts.setdefault(each.execution_id, []).append(int(each.data.split('"')[3]))
        assert sorted(map(len, texts.values())) == sorted(sent.values())
        assert all(numbers == sorted(numbers) for numbers in texts.values())


async def test_a_source_that_fails_ends_the_call_with_its_error(
    writer: WatchedWriter, engine: AsyncEngine, small_chunks: int
) -> None:
    class Mine(Exception):
        pass

    def source() -> Iterator[dict[str, Any]]:
        yield from jobs(25)
        raise Mine

    with pytest.raises(Mine):
        await writer.create_many(source())
    assert await job_ids(engine) == [f"job-{at}" for at in range(20)], "all whole chunks, and nothing goes on"


async def test_a_callback_that_fails_ends_the_call_with_its_error(writer: WatchedWriter, small_chunks: int) -> None:
    class Mine(Exception):
        pass

    def fail(*_: object) -> None:
        raise Mine

    with pytest.raises(Mine):
        await writer.create_many(jobs(25), progress=fail)
    with pytest.raises(Mine):
        await writer.create_many(jobs(1), refused=fail)


async def test_a_cancelled_bulk_takes_back_all_that_waits(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine, small_chunks: int
) -> None:
    writer = open_writer(group=small_chunks)
    await writer.execute(create("a"))
    writer.watch.clear()
    with held(database):
        task = asyncio.create_task(writer.execute_many(note("a", f"{at}") for at in range(100)))
        await writer.watch.sent()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await writer.execute(create("after"))
    assert (await ledger.types(engine)).count("noted") == small_chunks, "what was being written, and no more"


@pytest.mark.parametrize("options", [{"ledger": ""}, {"actor": 5}, {"color": "red"}])
async def test_wrong_options_of_a_bulk_are_refused_before_anything_is_read(
    writer: WatchedWriter, engine: AsyncEngine, options: dict[str, Any]
) -> None:
    source = iter([{"job_id": "a"}])
    with pytest.raises(InvalidInput) as refused:
        await writer.create_many(source, **options)
    assert {refused.value.field} == options.keys()
    assert next(source) == {"job_id": "a"}
    assert await ledger.events(engine) == []
