"""The threads that write: few for many ledgers, each ledger by one at a time, and none where nothing is to be done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread, current_thread
from typing import Any

from ...domain import WriterClosed
from ..event_store import Request
from .group import Answer

_IDLE = 2.0
"""Seconds without work after which a thread ends."""

_SHARED = 32
"""Waiting commands from which on a ledger has transactions of its own."""
_WORTH_HALVING = 16
"""Waiting jobs that make two flights worth their two commits."""


@dataclass(slots=True, eq=False)
class Job:
    """Commands of one ledger that were sent together and are answered together."""

    requests: Sequence[Request]
    rows: bool
    future: Any
    """An asyncio or a concurrent future; one that was cancelled before its turn is left out."""

    @property
    def ledger(self) -> str:
        """Where they belong."""
        return self.requests[0].ledger

    def begin(self) -> bool:
        """Whether it is still wanted. From now on no thread can cancel it: that would say it was not done."""
        if isinstance(self.future, Future):
            return self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()


Outcomes = Sequence[tuple[Job, Sequence[Answer] | BaseException]]


@dataclass(slots=True, eq=False)
class Flight:
    """Jobs of one ledger that are being written."""

    jobs: list[Job]
    targets: set[int | str]
    """The entities that they name."""
    size: int = 0
    """How many commands."""
    locked: bool = False
    """Whether what they concern is locked in the database, so that a second flight may follow."""

    @property
    def ledger(self) -> str:
        """Where they belong."""
        return self.jobs[0].ledger


class Crew:
    """Hands the waiting jobs of a ledger to whichever thread is free, all at once and in the order they came.

    A second flight of jobs may follow the first while that waits for the database: not before that has its locks, and
    not with jobs that name the same entities.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Request], bool, Callable[[], object]], list[Answer]],
        deliver: Callable[[Outcomes], None],
        *,
        workers: int,
        group: int,
        depth: int,
        ledgers: int,
    ) -> None:
        self._commit = commit
        self._deliver = deliver
        self._workers = workers
        self._group = group
        self._depth = depth
        self._ledgers = ledgers
        self._changed = Condition()
        self._waiting: dict[str, deque[Job]] = {}
        self._flights: dict[str, list[Flight]] = {}
        self._ready: dict[str, None] = {}
        """Ledgers with waiting jobs that may be taken, those that wait the longest first."""
        self._threads: set[Thread] = set()
        self._free = 0
        self._closed = False

    def put(self, jobs: Sequence[Job]) -> None:
        """Take jobs in; refuses once the crew is closed."""
        with self._changed:
            if self._closed:
                raise WriterClosed
            for job in jobs:
                self._waiting.setdefault(job.ledger, deque()).append(job)
            for ledger in {job.ledger: None for job in jobs}:
                self._look(ledger)

    def _look(self, ledger: str) -> None:
        """See whether somebody may write to a ledger, and call or hire one who does."""
        flights, queue = self._flights.get(ledger, []), self._waiting.get(ledger)
        if not queue or len(flights) >= self._depth or not all(flight.locked for flight in flights):
            return
        if any(not flight.targets.isdisjoint(_targets(queue[0])) for flight in flights):
            return
        self._ready[ledger] = None
        if self._free >= len(self._ready):
            self._changed.notify()
        elif len(self._threads) < self._workers:
            thread = Thread(target=self._work, name="execution-ledger-writer", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        while flights := self._take():
            self._deliver(self._write(flights))
            self._land(flights)

    def _take(self) -> list[Flight]:
        """Jobs of a ledger, up to the size of a group; few of them share a transaction with those of other ledgers.

        Nothing where the thread may end.
        """
        with self._changed:
            self._free += 1
            idle = True
            while not self._ready and idle and not self._closed:
                idle = self._changed.wait(_IDLE)
            self._free -= 1
            flights: list[Flight] = []
            size = 0
            while self._ready and size < _SHARED and len(flights) < self._ledgers:
                ledger = next(iter(self._ready))
                if flights and len(self._waiting[ledger]) >= _SHARED:
                    break
                del self._ready[ledger]
                flights.append(self._board(ledger))
                size += flights[-1].size
            if not flights:
                self._threads.discard(current_thread())
                self._changed.notify_all()
            return flights

    def _board(self, ledger: str) -> Flight:
        queue, flights = self._waiting[ledger], self._flights.setdefault(ledger, [])
        taken = set[int | str]().union(*(flight.targets for flight in flights))
        most = self._group
        if self._depth > 1 and not flights and len(queue) >= _WORTH_HALVING:
            most = min(most, (len(queue) + 1) // 2)  # the other half is decided while the database writes this one
        flight = Flight([], set())
        while queue and (not flight.jobs or flight.size + len(queue[0].requests) <= most):
            named = _targets(queue[0])
            if not taken.isdisjoint(named):
                break
            flight.targets |= named
            flight.jobs.append(queue.popleft())
            flight.size += len(flight.jobs[-1].requests)
        if not queue:
            del self._waiting[ledger]
        flights.append(flight)
        return flight

    def _lock(self, flights: Sequence[Flight]) -> None:
        with self._changed:
            for flight in flights:
                flight.locked = True
                self._look(flight.ledger)

    def _land(self, landed: Sequence[Flight]) -> None:
        with self._changed:
            for flight in landed:
                flights = self._flights[flight.ledger]
                flights.remove(flight)
                if not flights:
                    del self._flights[flight.ledger]
                self._look(flight.ledger)
            if self._closed:
                self._changed.notify_all()

    def _write(self, flights: Sequence[Flight]) -> Outcomes:
        outcomes: list[tuple[Job, Sequence[Answer] | BaseException]] = []
        wanted: list[Job] = []
        for job in (job for flight in flights for job in flight.jobs):
            if job.begin():
                wanted.append(job)
            else:
                outcomes.append((job, ()))
        requests = [request for job in wanted for request in job.requests]
        if not requests:
            return outcomes
        try:
            answers = self._commit(requests, any(job.rows for job in wanted), lambda: self._lock(flights))
        except BaseException as error:
            return outcomes + [(job, error) for job in wanted]
        at = 0
        for job in wanted:
            outcomes.append((job, answers[at : at + len(job.requests)]))
            at += len(job.requests)
        return outcomes

    def close(self, timeout: float | None = None) -> list[Job]:
        """Take nothing in any more, and wait until all is written; what nobody began by then is handed back."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._threads or self._waiting:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            left_over = [job for queue in self._waiting.values() for job in queue]
            self._waiting.clear()
            self._ready.clear()
            return left_over


def _targets(job: Job) -> set[int | str]:
    return {request.target for request in job.requests if request.target is not None}
