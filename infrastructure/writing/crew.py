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
from ..requests import Request
from .group import Answer

_IDLE = 2.0
"""Seconds without work after which a thread ends."""

_SHARED = 32
"""Waiting commands from which on a ledger has transactions of its own."""


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


class Crew:
    """Hands the waiting jobs of a ledger to whichever thread is free, all at once and in the order they came."""

    def __init__(
        self,
        commit: Callable[[Sequence[Request], bool], list[Answer]],
        deliver: Callable[[Outcomes], None],
        *,
        workers: int,
        group: int,
        ledgers: int,
    ) -> None:
        self._commit = commit
        self._deliver = deliver
        self._workers = workers
        self._group = group
        self._ledgers = ledgers
        self._changed = Condition()
        self._waiting: dict[str, deque[Job]] = {}
        self._writing: set[str] = set()
        self._ready: dict[str, None] = {}
        """Ledgers with waiting jobs that nobody writes to, those that wait the longest first."""
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
        if ledger not in self._waiting or ledger in self._writing:
            return
        self._ready[ledger] = None
        if self._free >= len(self._ready):
            self._changed.notify()
        elif len(self._threads) < self._workers:
            thread = Thread(target=self._work, name="execution-ledger-writer", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        while jobs := self._take():
            self._deliver(self._write(jobs))
            self._done(jobs)

    def _take(self) -> list[Job]:
        """Jobs of a ledger, up to the size of a group; few of them share a transaction with those of other ledgers.

        Nothing where the thread may end.
        """
        with self._changed:
            self._free += 1
            idle = True
            while not self._ready and idle and not self._closed:
                idle = self._changed.wait(_IDLE)
            self._free -= 1
            jobs: list[Job] = []
            size = ledgers = 0
            while self._ready and size < _SHARED and ledgers < self._ledgers:
                ledger = next(iter(self._ready))
                if jobs and len(self._waiting[ledger]) >= _SHARED:
                    break
                del self._ready[ledger]
                taken, ledgers = self._take_from(ledger), ledgers + 1
                jobs += taken
                size += sum(len(job.requests) for job in taken)
            if not jobs:
                self._threads.discard(current_thread())
                self._changed.notify_all()
            return jobs

    def _take_from(self, ledger: str) -> list[Job]:
        queue, jobs, size = self._waiting[ledger], list[Job](), 0
        while queue and (not jobs or size + len(queue[0].requests) <= self._group):
            jobs.append(queue.popleft())
            size += len(jobs[-1].requests)
        if not queue:
            del self._waiting[ledger]
        self._writing.add(ledger)
        return jobs

    def _done(self, jobs: Sequence[Job]) -> None:
        with self._changed:
            for ledger in {job.ledger: None for job in jobs}:
                self._writing.discard(ledger)
                self._look(ledger)
            if self._closed:
                self._changed.notify_all()

    def _write(self, jobs: Sequence[Job]) -> Outcomes:
        outcomes: list[tuple[Job, Sequence[Answer] | BaseException]] = []
        wanted: list[Job] = []
        for job in jobs:
            if job.begin():
                wanted.append(job)
            else:
                outcomes.append((job, ()))
        requests = [request for job in wanted for request in job.requests]
        if not requests:
            return outcomes
        try:
            answers = self._commit(requests, any(job.rows for job in wanted))
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
