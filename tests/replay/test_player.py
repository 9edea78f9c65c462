"""Runs and stretches of a ledger, played again on a clock of the test's own: nobody really waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import Delete, InvalidInput, Note, UnknownExecution, Update, stream_id
from execution_ledger.projections import Frame, MonotonicClock, Player, play_ledger, play_run
from execution_ledger.projections.replay import reels
from support.examples import examples
from support.histories import START, Told, exactly, fold, histories, ids, stored, write

OVERSLEPT = 0.25


class Clock:
    """Passes whatever one waits for, and a little more. Where one waits without end, the test does what it planned."""

    def __init__(self, *plans: Callable[[], Any]) -> None:
        self.time = 500.0
        self.plans = list(plans)

    def now(self) -> float:
        return self.time

    async def wait(self, seconds: float | None, woken: asyncio.Event) -> None:
        if woken.is_set():
            return
        if seconds is None:
            self.time += 10_000
            self.plans.pop(0)()
        else:
            self.time += seconds + OVERSLEPT


async def played(player: Player, clock: Clock) -> list[tuple[Frame, float]]:
    """All frames, and the seconds of the clock at which they came."""
    begun = clock.time
    return [(frame, clock.time - begun) async for frame in player]


def notes(*passed: int, job: int = 0) -> list[Told]:
    return [Told(job, Note.of(f"after {seconds}"), seconds, None, None) for seconds in passed]


@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
async def test_a_run_is_played_with_its_row_after_each_event(
    sync_engine: Engine, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, history: Any
) -> None:
    monkeypatch.setattr(reels, "PAGE", 3)
    ledger = write(sync_engine, history)
    events = stored(sync_engine, ledger)[stream_id(ledger, "job-0")]
    number = ids(sync_engine, ledger)[events[0].execution_id]
    frames = [frame async for frame in play_run(engine, "job-0", ledger=ledger, speed=None)]
    assert [frame.event.position for frame in frames] == [event.position for event in events]
    for at, frame in enumerate(frames, 1):
        assert exactly(frame.state) == exactly(fold(ledger, number, events[:at]))
    middle = len(events) // 2 + 1
    later = [frame async for frame in play_run(engine, "job-0", ledger=ledger, speed=None, from_version=middle)]
    assert exactly([frame.state for frame in later]) == exactly([frame.state for frame in frames[middle - 1 :]])


@pytest.mark.parametrize("speed", [1, 10, 0.5])
async def test_frames_come_at_their_own_pace_times_the_speed_and_no_error_adds_up(
    sync_engine: Engine, engine: AsyncEngine, speed: float
) -> None:
    ledger = write(sync_engine, notes(*[10] * 50))
    clock = Clock()
    frames = await played(play_run(engine, "job-0", ledger=ledger, speed=speed, clock=clock), clock)
    assert len(frames) == 51
    for at, (frame, came) in enumerate(frames):
        assert frame.at == START + timedelta(seconds=10 * at)
        assert 0 <= came - 10 * at / speed <= OVERSLEPT + 1e-6


async def test_as_fast_as_possible_waits_for_nothing(sync_engine: Engine, engine: AsyncEngine) -> None:
    ledger = write(sync_engine, notes(*[1_000] * 20))
    clock = Clock()
    frames = await played(play_run(engine, "job-0", ledger=ledger, speed=None, clock=clock), clock)
    assert (len(frames), frames[-1][1]) == (21, 0.0)


async def test_no_wait_is_longer_than_the_longest(sync_engine: Engine, engine: AsyncEngine) -> None:
    ledger = write(sync_engine, notes(2, 5_000, 3))
    clock = Clock()
    frames = await played(play_run(engine, "job-0", ledger=ledger, longest_wait=10, clock=clock), clock)
    assert [came for _, came in frames] == pytest.approx([0, 2, 12, 15], abs=OVERSLEPT * 3)


async def test_a_pause_takes_no_time_of_the_story(sync_engine: Engine, engine: AsyncEngine) -> None:
    ledger = write(sync_engine, notes(10, 10, 10))
    player: Player
    clock = Clock(lambda: player.resume())
    player = play_run(engine, "job-0", ledger=ledger, clock=clock)
    came = []
    async for frame in player:
        came.append(clock.time - 500)
        if frame.event.version == 2:
            clock.time += 4
            player.pause()
            assert player.paused
            assert player.story is not None
            stood = player.story
            clock.time += 100
            assert player.story == stood
    assert [time - (10_100 if at > 1 else 0) for at, time in enumerate(came)] == pytest.approx(
        [0, 10, 20, 30], abs=OVERSLEPT * 2
    )


async def test_the_speed_can_change_while_it_plays(sync_engine: Engine, engine: AsyncEngine) -> None:
    ledger = write(sync_engine, notes(10, 10, 10, 1_000))
    clock = Clock()
    player = play_run(engine, "job-0", ledger=ledger, clock=clock)
    came = []
    async for frame in player:
        came.append(clock.time - 500)
        player.speed = {2: 10, 4: None}.get(frame.event.version, player.speed)
    assert came == pytest.approx([0, 10, 11, 12, 12], abs=OVERSLEPT * 3)


async def test_whoever_is_late_catches_up(sync_engine: Engine, engine: AsyncEngine) -> None:
    ledger = write(sync_engine, notes(10, 10, 10, 10))
    clock = Clock()
    came = []
    async for frame in play_run(engine, "job-0", ledger=ledger, clock=clock):
        came.append(clock.time - 500)
        if frame.event.version == 2:
            clock.time += 22
    assert came == pytest.approx([0, 10, 32, 32, 40], abs=OVERSLEPT * 2)


async def test_one_can_wind_to_a_version_or_an_instant_and_step(sync_engine: Engine, engine: AsyncEngine) -> None:
    ledger = write(sync_engine, [Told(0, Update.of({"message": f"{n}"}), 10, None, None) for n in range(300)])
    player: Player
    shown: list[int] = []

    def then(*does: Callable[[], None]) -> Callable[[], None]:
        return lambda: [each() for each in does] and None  # type: ignore[return-value,func-returns-value]

    clock = Clock(
        then(lambda: player.step(), lambda: player.step()),
        then(lambda: player.seek(version=250), lambda: player.step()),
        then(lambda: player.seek(instant=START + timedelta(seconds=95)), lambda: player.resume()),
    )
    player = play_run(engine, "job-0", ledger=ledger, clock=clock)
    player.seek(version=100)
    async for frame in player:
        shown.append(frame.event.version)
        assert frame.state is not None
        assert frame.state["message"] == f"{frame.event.version - 2}"
        if len(shown) == 1:
            player.pause()
        if len(shown) == 5:
            waited = clock.time
        if len(shown) == 6:
            assert clock.time - waited == pytest.approx(10, abs=OVERSLEPT * 2)
            player.seek(version=301)
    assert shown == [100, 101, 102, 250, 11, 12, 301]


async def test_a_stretch_of_a_ledger_is_played_in_order(
    sync_engine: Engine, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reels, "PAGE", 4)
    told = [each for n in range(15) for each in (*notes(1, job=0), *notes(0, job=1))]
    ledger = write(sync_engine, told)

    async def positions(**bounds: Any) -> list[int]:
        return [frame.event.position async for frame in play_ledger(engine, ledger=ledger, speed=None, **bounds)]

    assert await positions() == list(range(1, 33))
    assert await positions(start=5, end=20) == list(range(5, 21))
    at = START + timedelta(seconds=3)
    assert await positions(start=at, end=at + timedelta(seconds=2)) == [7, 8, 9, 10]
    assert await positions(end=START.isoformat()) == []
    clock = Clock()
    player = play_ledger(engine, ledger=ledger, speed=2, start=at, clock=clock)
    frames = []
    async for frame in player:
        frames.append((frame.event.position, clock.time - 500))
        if frame.event.position == 10:
            player.seek(position=30)
        if frame.event.position == 32 and len(frames) < 10:
            player.seek(instant=START + timedelta(seconds=14))
    assert [position for position, _ in frames] == [7, 8, 9, 10, 30, 31, 32, 29, 30, 31, 32]
    assert frames[2][1] == pytest.approx(0.5, abs=OVERSLEPT * 2)


async def test_what_is_recorded_meanwhile_is_not_played(sync_engine: Engine, engine: AsyncEngine) -> None:
    from execution_ledger.infrastructure import EventStore, Request

    ledger = write(sync_engine, notes(1))
    frames = []
    async for frame in play_ledger(engine, ledger=ledger, speed=None):
        frames.append(frame.event.position)
        with sync_engine.begin() as connection:
            EventStore().execute(connection, Request(ledger, "job-0", Note.of("more")))
    assert frames == [1, 2, 3]


async def test_a_deleted_run_ends_without_a_row(sync_engine: Engine, engine: AsyncEngine) -> None:
    ledger = write(sync_engine, [Told(0, Delete(), 1, None, None)])
    frames = [frame async for frame in play_run(engine, "job-0", ledger=ledger, speed=None)]
    assert [frame.state is None for frame in frames] == [False, True]


async def test_bad_wishes_are_told_what_is_wrong(sync_engine: Engine, engine: AsyncEngine) -> None:
    ledger = write(sync_engine, [])
    run = play_run(engine, "job-0", ledger=ledger)
    for wish, field in (
        (lambda: play_run(engine, "job-0", speed=0), "speed"),
        (lambda: play_run(engine, "job-0", speed=float("nan")), "speed"),
        (lambda: play_run(engine, "job-0", from_version=0), "from_version"),
        (lambda: play_run(engine, "job-0", by="told"), "by"),  # type: ignore[arg-type]
        (lambda: play_run(engine, "job-0", longest_wait=-1), "longest_wait"),
        (lambda: play_ledger(engine, start="once"), "start"),
        (lambda: run.seek(), "seek"),
        (lambda: run.seek(version=1, position=1), "seek"),
    ):
        with pytest.raises(InvalidInput) as refused:
            wish()
        assert refused.value.field == field
    run.seek(position=1)
    with pytest.raises(InvalidInput, match="is of no run"):
        await anext(run)
    with pytest.raises(UnknownExecution):
        await anext(play_run(engine, "nobody", ledger=ledger))


async def test_the_clock_of_the_machine_wakes_when_it_is_woken() -> None:
    clock, woken = MonotonicClock(), asyncio.Event()
    before = clock.now()
    await clock.wait(0.01, woken)
    assert clock.now() - before >= 0.009
    woken.set()
    await asyncio.wait_for(clock.wait(None, woken), 10)
