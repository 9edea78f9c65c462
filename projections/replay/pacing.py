"""When what happened is due when it is played again."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol


class PlayClock(Protocol):
    """What tells a player the time, and waits for it. A test has one of its own."""

    def now(self) -> float:
        """Seconds, from any beginning, that never go back."""
        ...

    async def wait(self, seconds: float | None, woken: asyncio.Event) -> None:
        """Return after so many seconds (never, for None), or as soon as the event is set."""
        ...


class MonotonicClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds since the machine started, or so."""
        return time.monotonic()

    async def wait(self, seconds: float | None, woken: asyncio.Event) -> None:
        """Wait on the event loop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), seconds)


class Pacer:
    """Maps the time of the story to that of the clock. From one anchor, so that no error adds up."""

    def __init__(self, clock: PlayClock, speed: float | None, longest_wait: float | None = None) -> None:
        self._clock = clock
        self._speed = speed
        self._longest_wait = longest_wait
        self._anchor: tuple[float, datetime] | None = None
        self.paused = False

    @property
    def speed(self) -> float | None:
        """How many times as fast as it happened; None: without any waiting."""
        return self._speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self._anchor_now()
        self._speed = speed

    @property
    def story(self) -> datetime | None:
        """Where the story is; None before it begins."""
        if self._anchor is None:
            return None
        begun, at = self._anchor
        if self.paused or self._speed is None:
            return at
        return at + timedelta(seconds=(self._clock.now() - begun) * self._speed)

    def pause(self) -> None:
        """Let the story stand still."""
        self._anchor_now()
        self.paused = True

    def resume(self) -> None:
        """Let it go on from where it stands."""
        self._anchor_now()
        self.paused = False

    def jump(self, at: datetime | None) -> None:
        """Let the story be at this time now; at that of the next event, without one."""
        self._anchor = None if at is None else (self._clock.now(), at)

    def due_in(self, at: datetime) -> float:
        """Seconds of the clock until the story is at this time; negative where that is over."""
        if self._anchor is None or self._speed is None:
            self.jump(at)
            return 0.0
        begun, story = self._anchor
        wait = begun + (at - story).total_seconds() / self._speed - self._clock.now()
        if self._longest_wait is not None and wait > self._longest_wait:
            self._anchor = (begun, story + timedelta(seconds=(wait - self._longest_wait) * self._speed))
            return self._longest_wait
        return wait

    def _anchor_now(self) -> None:
        self.jump(self.story)
