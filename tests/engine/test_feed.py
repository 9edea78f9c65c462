"""Subscriptions: every event once and in order, whenever one begins, and however often one resumes."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import cast

import pytest
from sqlalchemy import QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import InvalidInput
from execution_ledger.infrastructure import Announcer, EventStore, GroupWriter, Request
from execution_ledger.projections import Feed, Heads, RecordedEvent
from support import Database
from support.writers import create, note

TIMEOUT = 60.0
EVENTS = int(os.environ.get("EXECUTION_LEDGER_TEST_FEED_EVENTS", "2000"))


async def write(writer: GroupWriter, *requests: Request) -> None:
    """One after the other: a group sorts its events by run."""
    for request in requests:
        await writer.execute(request)


@pytest.fixture
def announcer() -> Announcer:
    return Announcer()


@pytest.fixture
async def writer(database: Database, announcer: Announcer) -> AsyncIterator[GroupWriter]:
    async with GroupWriter(database.url, store=EventStore(announcer=announcer)) as writer:
        yield writer


@pytest.fixture
async def feed(engine: AsyncEngine, announcer: Announcer) -> AsyncIterator[Feed]:
    async with Heads(engine, announcer=announcer, poll=0.5).watching() as heads, aclosing(Feed(engine, heads)) as feed:
        yield feed


async def take(subscription: AsyncIterator[RecordedEvent | None], number: int) -> list[tuple[str, int, str]]:
    taken: list[tuple[str, int, str]] = []
    async with asyncio.timeout(TIMEOUT):
        while len(taken) < number:
            event = await anext(subscription)
            if event is not None:
                taken.append((event.job_id, event.position, event.name))
    return taken


async def test_what_there_is_comes_first_then_what_is_appended(feed: Feed, writer: GroupWriter) -> None:
    await writer.execute_together([create("a"), note("a", "1")])
    subscription = feed.subscribe(after=0)
    assert await take(subscription, 2) == [("a", 1, "created"), ("a", 2, "noted")]
    waiting = asyncio.create_task(take(subscription, 1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await writer.execute(create("b"))
    assert await waiting == [("b", 3, "created")]
    assert subscription.cursor == {"default": 3}
    assert await take(feed.subscribe(after=2), 1) == [("b", 3, "created")]


async def test_by_default_only_what_comes_next(feed: Feed, writer: GroupWriter) -> None:
    await writer.execute_together([create("a"), note("a", "1")])
    subscription = feed.subscribe(idle=0.01)
    assert await anext(subscription) is None
    await writer.execute(create("b"))
    assert await take(subscription, 1) == [("b", 3, "created")]


async def test_filters_pass_over_the_rest_and_the_cursor_moves_on(feed: Feed, writer: GroupWriter) -> None:
    await write(writer, create("a"), note("a", "1"), create("b"), note("b", "2"), note("a", "3"))
    assert await take(feed.subscribe(after=0, types=["execution.noted"]), 3) == [
        ("a", 2, "noted"),
        ("b", 4, "noted"),
        ("a", 5, "noted"),
    ]
    assert await take(feed.subscribe(after=1, job_id="a"), 2) == [("a", 2, "noted"), ("a", 5, "noted")]
    nothing = feed.subscribe(after=0, types=["execution.deleted"], idle=0.01)
    assert await anext(nothing) is None
    assert nothing.cursor == {"default": 5}


async def test_all_ledgers_at_once_each_in_its_order(feed: Feed, writer: GroupWriter) -> None:
    await writer.execute_together([create("a"), note("a", "1")])
    await write(writer, create("b", ledger="other"), note("b", "1", ledger="other"))
    everything = feed.subscribe(None, after=0)
    assert sorted(await take(everything, 4)) == [
        ("a", 1, "created"),
        ("a", 2, "noted"),
        ("b", 1, "created"),
        ("b", 2, "noted"),
    ]
    news = feed.subscribe(None, idle=0.01)
    assert await anext(news) is None
    await writer.execute(create("c", ledger="third"))
    assert await take(everything, 1) == [("c", 1, "created")]
    assert await take(news, 1) == [("c", 1, "created")]
    resumed = feed.subscribe(None, after={"default": 1, "other": 2, "third": 1})
    assert await take(resumed, 1) == [("a", 2, "noted")]


async def test_wrong_subscriptions_are_refused(feed: Feed) -> None:
    for wrong in ({"after": -1}, {"types": "execution.noted"}, {"idle": -1}, {"ledger": ""}):
        with pytest.raises(InvalidInput):
            feed.subscribe(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="for all ledgers"):
        feed.subscribe(None, after=3)
    with pytest.raises(InvalidInput, match="ledger"):
        feed.subscribe(None, job_id="a")


async def test_a_slow_subscriber_keeps_nobody_waiting(feed: Feed, writer: GroupWriter) -> None:
    slow, fast = feed.subscribe(after=0), feed.subscribe(after=0)
    await writer.execute(create("a"))
    assert await take(slow, 1) == [("a", 1, "created")]
    await writer.execute_together([note("a", f"{at}") for at in range(1500)])
    assert len(await take(fast, 1501)) == 1501
    assert [position for _, position, _ in await take(slow, 1500)] == list(range(2, 1502))


async def test_twenty_subscribers_that_come_and_go_see_every_position_once_and_in_order(
    feed: Feed, writer: GroupWriter
) -> None:
    """8 writers, 20 subscribers; each disconnects at random moments, and resumes with the position that it has."""
    await writer.execute_together([create(f"job-{number}") for number in range(8)])
    chance = random.Random(7)

    async def note_often(number: int) -> None:
        for at in range((EVENTS - 8) // 8):
            await writer.execute(note(f"job-{number}", f"{at}"), row=False)

    async def follow(patience: random.Random) -> list[int]:
        seen: list[int] = []
        while len(seen) < EVENTS:
            subscription = feed.subscribe(after=seen[-1] if seen else 0)
            try:
                async with asyncio.timeout(patience.uniform(0.05, 1.0)):
                    async for event in subscription:
                        assert event is not None
                        seen.append(event.position)
                        if len(seen) == EVENTS:
                            break
            except TimeoutError:
                continue
        return seen

    followers = [asyncio.create_task(follow(random.Random(chance.random()))) for _ in range(20)]
    async with asyncio.timeout(10 * TIMEOUT):
        await asyncio.gather(*(note_often(number) for number in range(8)))
        for seen in await asyncio.gather(*followers):
            assert seen == list(range(1, EVENTS + 1))


async def test_what_comes_after_a_read_has_ended_reads_anew(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even before the loop has told of its end: whoever was told the same again would ask again, for ever."""
    gate, reads = asyncio.Event(), 0

    async def run(*_: object) -> int:
        nonlocal reads
        reads += 1
        mine = reads
        await gate.wait()
        return mine

    async def come_late(feed: Feed) -> int:
        await gate.wait()
        return await feed.read(len)

    monkeypatch.setattr(Feed, "_run", run)
    async with aclosing(Feed(engine, Heads(engine))) as feed:
        early = asyncio.create_task(feed.read(len))
        while not reads:
            await asyncio.sleep(0)
        late = asyncio.create_task(come_late(feed))
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(early, late) == [1, 2]


async def test_once_it_is_closed_no_connection_is_out_although_whoever_read_has_left(engine: AsyncEngine) -> None:
    pool = cast(QueuePool, engine.pool)
    async with aclosing(Feed(engine, Heads(engine))) as feed:
        leaves = asyncio.create_task(take(feed.subscribe(after=0), 1))
        while not pool.checkedout():
            await asyncio.sleep(0)
        leaves.cancel()
    assert not pool.checkedout()


async def test_what_grew_before_the_wait_began_is_not_missed(engine: AsyncEngine) -> None:
    heads = Heads(engine)
    before = heads.growths
    heads.tell({"a": 1})
    assert await heads.wait_for_any(0, since=before)
    assert not await heads.wait_for_any(0, since=heads.growths)
    assert await heads.wait("a", 0, 0)
    assert not await heads.wait("a", 1, 0)
