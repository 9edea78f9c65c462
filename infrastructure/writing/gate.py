"""Backpressure: so many commands may be on their way; who comes then waits in line, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from threading import RLock

from ...domain import WriterClosed

Turn = asyncio.Future[None] | Future[None]


@dataclass(slots=True, eq=False)
class _Place:
    """A place in the line."""

    count: int
    turn: Turn
    admitted: bool = False
    left: bool = False


class Gate:
    """Lets commands in as long as there is room. More at once than there ever is room for go in alone."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        """Commands inside, and those that were told to come in."""
        self._line: deque[_Place] = deque()
        self._closed = False
        # Reentrant: who waits in a loop that ended leaves the line when he is collected, at any moment.
        self._lock = RLock()

    @property
    def inside(self) -> int:
        """How many are inside."""
        return self._size

    async def enter(self, count: int) -> None:
        """Wait until there is room for so many, and take it."""
        if (place := self._line_up(count, asyncio.get_running_loop())) is not None:
            try:
                await place.turn  # type: ignore[misc]
            except BaseException:
                self._give_up(place)
                raise

    def enter_from_thread(self, count: int) -> None:
        """The same for threads."""
        if (place := self._line_up(count, None)) is not None:
            try:
                place.turn.result()
            except BaseException:
                self._give_up(place)
                raise

    def leave(self, count: int) -> None:
        """Give room back."""
        with self._lock:
            self._size -= count
            self._call_in()

    def close(self) -> None:
        """Turn away who waits, and whoever comes."""
        with self._lock:
            self._closed = True
            places = list(self._line)
            self._line.clear()
        for place in places:
            _tell(place.turn, WriterClosed())

    def _line_up(self, count: int, loop: asyncio.AbstractEventLoop | None) -> _Place | None:
        with self._lock:
            if self._closed:
                raise WriterClosed
            if not self._line and self._has_room(count):
                self._size += count
                return None
            place = _Place(count, Future() if loop is None else loop.create_future())
            self._line.append(place)
            return place

    def _has_room(self, count: int) -> bool:
        return not self._size or self._size + count <= self._capacity

    def _call_in(self) -> None:
        while self._line and (self._line[0].left or self._has_room(self._line[0].count)):
            place = self._line.popleft()
            if not place.left and _tell(place.turn, None):
                place.admitted = True
                self._size += place.count

    def _give_up(self, place: _Place) -> None:
        with self._lock:
            place.left = True
            if place.admitted:
                self._size -= place.count
            self._call_in()


def _tell(turn: Turn, error: WriterClosed | None) -> bool:
    """False where nobody is there any more."""
    if isinstance(turn, Future):
        _settle(turn, error)
        return True
    try:
        turn.get_loop().call_soon_threadsafe(_settle, turn, error)
    except RuntimeError:  # the loop has ended, and with it whoever waited
        return False
    return True


def _settle(turn: Turn, error: WriterClosed | None) -> None:
    if turn.done():
        return
    if error is None:
        turn.set_result(None)
    else:
        turn.set_exception(error)
