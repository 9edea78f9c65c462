"""Play a run again, or a stretch of a whole ledger: at its own pace, faster, or as fast as it can be read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from ...domain import InvalidInput, check_ledger
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_int, check_seconds, check_text, check_time
from .moments import Clock, check_clock
from .pacing import MonotonicClock, Pacer, PlayClock
from .reels import Frame, LedgerReel, Reel, RunReel, Target


class Player(AsyncIterator[Frame]):
    """Frames, each when it is due: `async for frame in player`. It can be steered meanwhile.

    Whoever takes a frame late gets the next ones at once, until the story has caught up. Memory holds a page of events.
    """

    def __init__(
        self, reel: Reel, by: Clock, clock: PlayClock, speed: float | None, longest_wait: float | None
    ) -> None:
        self._reel = reel
        self._by = by
        self._clock = clock
        self._pacer = Pacer(clock, speed, longest_wait)
        self._page: deque[tuple[Any, Any]] = deque()
        self._latest: datetime | None = None
        self._target: Target | None = None
        self._steps = 0
        self._woken = asyncio.Event()

    @property
    def speed(self) -> float | None:
        """How many times as fast as it happened; None: as fast as possible. Can be set while it plays."""
        return self._pacer.speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self._pacer.speed = check_speed(speed)
        self._woken.set()

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._pacer.paused

    @property
    def story(self) -> datetime | None:
        """The time of the story now; None before it begins."""
        return self._pacer.story

    def pause(self) -> None:
        """Stand still: the next frame waits for `resume` or `step`."""
        if not self.paused:
            self._pacer.pause()
            self._woken.set()

    def resume(self) -> None:
        """Go on from where it stands, however long that was."""
        if self.paused:
            self._steps = 0
            self._pacer.resume()
            self._woken.set()

    def step(self) -> None:
        """While it stands still: show the next frame; called again meanwhile, the one after it, too."""
        self._steps += self.paused
        self._woken.set()

    def seek(
        self, *, version: int | None = None, position: int | None = None, instant: datetime | str | None = None
    ) -> None:
        """Go on with the first event at a version (of a run), a position (of a ledger) or an instant, or after it."""
        target = Target(
            None if version is None else check_int(version, "version", 1),
            None if position is None else check_int(position, "position", 1),
            None if instant is None else check_time(instant, "instant"),
        )
        if sum(each is not None for each in target) != 1:
            raise InvalidInput(field="seek", problem="needs one target", remedy="Send version, position or instant.")
        self._target = target
        self._woken.set()

    async def __anext__(self) -> Frame:
        """The next frame, when it is due."""
        while True:
            self._woken.clear()
            if self._target is not None:
                await self._wind(self._target)
            if self.paused and not self._steps:
                await self._clock.wait(None, self._woken)
                continue
            if not self._page:
                self._page.extend(await self._reel.read())
                if self._target is not None:
                    continue
                if not self._page:
                    raise StopAsyncIteration
            event, state = self._page[0]
            at = event.recorded_at if self._by == "recorded" else event.at
            at = at if self._latest is None else max(at, self._latest)
            if self._steps:
                self._pacer.jump(at)
            elif (wait := self._pacer.due_in(at)) > 0:
                await self._clock.wait(wait, self._woken)
                continue
            self._steps = max(self._steps - 1, 0)
            self._page.popleft()
            self._latest = at
            return Frame(event, state, at)

    async def _wind(self, target: Target) -> None:
        await self._reel.wind(target)
        self._page.clear()
        self._latest = target.instant
        self._pacer.jump(target.instant)
        if self._target is target:  # and no other was named meanwhile
            self._target = None


def play_run(
    engine: AsyncEngine,
    job_id: str,
    *,
    ledger: str = "default",
    speed: float | None = 1.0,
    from_version: int = 1,
    to_version: int | None = None,
    by: Clock = "recorded",
    longest_wait: float | None = None,
    clock: PlayClock | None = None,
) -> Player:
    """Play one execution, deleted ones included: frames carry each event and the row after it.

    `speed` 1 is its own pace, 10 ten times that, None as fast as possible. `by` is the clock that paces it: when events
    were recorded, or when they occurred. No wait is longer than `longest_wait` seconds. Ends at `to_version`, else with
    the last event there is when it begins. Reads on connections of its own, none of which it keeps while it waits.
    """
    reel = RunReel(
        engine,
        check_ledger(ledger),
        check_text(job_id, "job_id", KEY_LENGTH),
        check_int(from_version, "from_version", 1),
        None if to_version is None else check_int(to_version, "to_version", 1),
        by,
    )
    return _player(reel, by, clock, speed, longest_wait)


def play_ledger(
    engine: AsyncEngine,
    *,
    ledger: str = "default",
    speed: float | None = 1.0,
    start: int | datetime | str = 1,
    end: int | datetime | str | None = None,
    by: Clock = "recorded",
    longest_wait: float | None = None,
    clock: PlayClock | None = None,
) -> Player:
    """Play a stretch of a whole ledger, as an incident; otherwise as `play_run`. Frames carry no state.

    `start` and `end` are positions, both played, or instants of recording, of which the end is not. Between positions
    events come in their order; with an instant, as they were recorded (the clocks of several writers differ a little).
    """
    bounds = [None if each is None else _bound(each, name) for each, name in ((start, "start"), (end, "end"))]
    reel = LedgerReel(engine, check_ledger(ledger), bounds[0] or 1, bounds[1])
    return _player(reel, by, clock, speed, longest_wait)


def check_speed(speed: Any) -> float | None:
    """A speed, more than 0; None is as fast as possible."""
    if speed is None or check_seconds(speed, "speed") > 0:
        return speed
    raise InvalidInput(field="speed", problem="is 0", remedy="Pause the player, or send a number above 0, or None.")


def _player(reel: Reel, by: Clock, clock: PlayClock | None, speed: Any, longest_wait: Any) -> Player:
    check_clock(by)
    longest = None if longest_wait is None else check_seconds(longest_wait, "longest_wait")
    return Player(reel, by, clock or MonotonicClock(), check_speed(speed), longest)


def _bound(value: Any, name: str) -> int | datetime:
    return check_int(value, name, 1) if isinstance(value, int) else check_time(value, name)
