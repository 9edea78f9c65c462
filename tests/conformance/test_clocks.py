"""Clocks an hour apart, and one that jumps back: the order is the position, and no execution's time goes back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.infrastructure import EventStore, ExecutionRepository, GroupWriter, create_engine
from support import Database, Door, ledger
from support.audit import audit
from support.writers import create, note, update

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    """A clock that is set by hand and moves on by a second at each look."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def jumping(seed: int) -> Iterator[datetime]:
    """A clock that moves on, stands still, and is set back and forward by up to two hours."""
    chance, now = random.Random(seed), NOON
    while True:
        now += chance.choice([timedelta(milliseconds=3), timedelta(0), timedelta(0), HOUR, -HOUR, 2 * HOUR, -2 * HOUR])
        yield now


async def test_two_machines_an_hour_apart_write_in_the_order_of_positions(
    database: Database, engine: AsyncEngine, session: AsyncSession, door: Door
) -> None:
    early, late = Clock(NOON), Clock(NOON + HOUR)
    others = create_engine(database.url)
    async with AsyncSession(others) as other:
        here, there = door(session, store=EventStore(clock=early)), door(other, store=EventStore(clock=late))
        await here.create({"job_id": "job"})
        for number in range(4):
            machine = (here, there)[number % 2]
            answer = await machine.add_note("job", f"{number}")
            assert answer.version == number + 2
        mine = await here.create({"job_id": "mine"})
        theirs = await there.create({"job_id": "theirs"})
        assert (await here.mark_execution_completed("job", {"rows": 1})).completed_at < NOON + 2 * HOUR
    await others.dispose()
    events = await ledger.events(engine)
    assert [each.position for each in events] == list(range(1, 9))
    shared = [each for each in events if each.execution_id == events[0].execution_id]
    times = [each.recorded_at for each in shared]
    assert times == sorted(times), "held at the time of the machine that is ahead"
    assert times[0] < NOON + HOUR < times[2] == times[3]
    # Across executions the clocks are what they are; the positions tell what came first.
    assert mine.updated_at < theirs.updated_at - HOUR / 2
    assert (mine.id, theirs.id) == (2, 3)
    assert [each.type for each in shared][-1] == "execution.completed"


async def test_a_clock_that_is_set_back_holds_an_executions_time_until_it_has_caught_up(
    engine: AsyncEngine, session: AsyncSession, door: Door
) -> None:
    clock = Clock(NOON)
    repository = door(session, store=EventStore(clock=clock))
    created = await repository.create({"job_id": "job"})
    clock.now -= HOUR
    changed = await repository.update_execution("job", {"status": "running"})
    noted = await repository.add_note("job", "n")
    assert created.updated_at == changed.updated_at == noted.updated_at == changed.started_at
    other = await repository.create({"job_id": "other"})
    assert other.updated_at < created.updated_at, "what begins now begins by the clock"
    clock.now += 2 * HOUR
    assert (await repository.add_note("job", "n")).updated_at > NOON + HOUR
    stored = [each.recorded_at for each in await ledger.events(engine)]
    assert stored == [*[created.updated_at] * 3, other.updated_at, stored[-1]]


async def test_in_a_group_as_well_no_time_goes_back(database: Database) -> None:
    clock = Clock(NOON)

    def step_back() -> datetime:
        clock.now -= timedelta(minutes=10)
        return clock.now

    async with GroupWriter(database.url, store=EventStore(clock=step_back)) as writer:
        await writer.execute_together([create("a"), create("b"), note("a", "1"), note("b", "1"), note("a", "2")])
        together = [note("a", "3"), update("b", status="running"), note("a", "4")]
        first, _, second = await writer.execute_together(together, rows=True)
        alone = await writer.execute(note("a", "5"))
    found = audit(database.url)["default"]  # which holds each execution's times against their order
    times = {name: {each["recorded_at"] for each in events} for name, events in found.of_stream.items()}
    assert list(map(len, times.values())) == [1, 1], "each stands still from its first event on"
    told = {each.row["updated_at"] for each in (first, second, alone)}  # type: ignore[index,union-attr]
    assert told == times[alone.execution_id]  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", [1, 2])
async def test_writers_with_jumping_clocks_keep_every_rule_between_them(
    database: Database, sessions: async_sessionmaker[AsyncSession], seed: int
) -> None:
    chance = random.Random(seed)
    stores = [EventStore(clock=jumping(seed * 10 + at).__next__) for at in range(3)]
    sent: Counter[str] = Counter()
    async with (
        GroupWriter(database.url, store=stores[0]) as one,
        GroupWriter(database.url, store=stores[1]) as two,
        sessions() as session,
    ):
        doors = [
            ExecutionRepository(session, store=stores[0], writer=one),
            ExecutionRepository(session, store=stores[1], writer=two),
            ExecutionRepository(session, store=stores[2]),
            ExecutionRepository(session, store=stores[2], commit=False),
        ]
        for at in range(5):
            await chance.choice(doors).create({"job_id": f"job-{at}"})
            await session.commit()
        for at in range(80):
            name = f"job-{chance.randrange(5)}"
            if chance.random() < 0.3:
                await chance.choice((one, two)).execute_together([note(name, f"{at} {part}") for part in range(3)])
                sent.update(f"{at} {part}" for part in range(3))
            else:
                await chance.choice(doors).add_note(name, f"{at}")
                sent[f"{at}"] += 1
            if chance.random() < 0.7:
                await session.commit()
        await session.commit()
    found = audit(database.url)["default"]
    assert Counter(each["payload"]["text"] for each in found.events if each["type"] == "execution.noted") == sent
    across = [each["recorded_at"] for each in found.events]
    assert across != sorted(across), "the clocks did jump"
