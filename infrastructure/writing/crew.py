"""The threads that write: few for many ledgers, each ledger by one at a time, and none where nothing is to be done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread, current_thread
from typing import Any

from ...domain import LedgerBusy, WriterClosed
from ..requests import Request
from .group import Answer, Held

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
    answers: list[Answer] = field(default_factory=list)
    """Of the first of them, while the ledger is held against the rest."""
    begun: float = 0.0

    @property
    def ledger(self) -> str:
        """Where they belong."""
        return self.requests[0].ledger

    @property
    def rest(self) -> Sequence[Request]:
        """Those without an answer."""
        return self.requests[len(self.answers) :]

    def begin(self) -> bool:
        """Whether it is still wanted. From now on no thread can cancel it: that would say it was not done."""
        self.begun = self.begun or time.monotonic()
        if isinstance(self.future, Future):
            return self.future.running() or self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()

    def take(self, answers: Sequence[Answer | Held], *, patient: bool) -> bool:
        """Keep answers, and tell whether those were all. Who is not patient any more takes `Held` for one."""
        for answer in answers:
            if not isinstance(answer, Held):
                self.answers.append(answer)
            elif not patient:
                self.answers.append(answer.error)
        return len(self.answers) == len(self.requests)

    def fail(self, error: BaseException) -> Sequence[Answer] | BaseException:
        """What is told where the rest failed: what was committed before is acknowledged all the same."""
        if self.answers and isinstance(error, Exception):
            return [*self.answers, *[error] * len(self.rest)]
        return error


Outcomes = Sequence[tuple[Job, Sequence[Answer] | BaseException]]


class Crew:
    """Hands the waiting jobs of a ledger to whichever thread is free, all at once and in the order they came."""

    def __init__(
        self,
        commit: Callable[[Sequence[Request], bool], list[Answer | Held]],
        deliver: Callable[[Outcomes], None],
        *,
        workers: int,
        group: int,
        ledgers: int,
        patience: float,
    ) -> None:
        self._commit = commit
        self._deliver = deliver
        self._workers = workers
        self._group = group
        self._ledgers = ledgers
        self._patience = patience
        self._changed = Condition()
        self._waiting: dict[str, deque[Job]] = {}
        self._writing: set[str] = set()
        self._held: set[str] = set()
        """Ledgers that somebody holds, which are tried by themselves until they are free."""
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
            try:
                for ledger in {job.ledger: None for job in jobs}:
                    self._look(ledger)
            except RuntimeError as error:
                if self._threads:
                    return  # one of those that there are will come to it
                self._waiting.clear()
                self._ready.clear()
                raise LedgerBusy(problem=f"no thread can be started ({error})", remedy="Try again later.") from error

    def _look(self, ledger: str) -> None:
        """See whether somebody may write to a ledger, and call or hire one who does."""
        if ledger not in self._waiting or ledger in self._writing:
            return
        self._ready[ledger] = None
        if self._free >= len(self._ready):
            self._changed.notify()
        elif len(self._threads) < self._workers:
            thread = Thread(target=self._work, name="execution-ledger-writer", daemon=True)
            thread.start()  # it waits for the lock that we have
            self._threads.add(thread)

    def _work(self) -> None:
        try:
            while jobs := self._take():
                held: list[Job] = []
                try:
                    outcomes, held = self._write(jobs)
                    self._deliver(outcomes)
                finally:
                    self._done(jobs, held)
        finally:
            with self._changed:
                self._threads.discard(current_thread())
                self._changed.notify_all()

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
            alone = False
            while not alone and size < _SHARED and ledgers < self._ledgers:
                ledger = next((name for name in self._ready if not jobs or self._shares(name)), None)
                if ledger is None:
                    break
                del self._ready[ledger]
                alone = not self._shares(ledger)
                taken, ledgers = self._take_from(ledger), ledgers + 1
                jobs += taken
                size += sum(len(job.rest) for job in taken)
            if not jobs:
                self._threads.discard(current_thread())  # with the lock still held: nobody may count on it any more
            return jobs

    def _shares(self, ledger: str) -> bool:
        """Whether a ledger shares a transaction with others."""
        return ledger not in self._held and len(self._waiting[ledger]) < _SHARED

    def _take_from(self, ledger: str) -> list[Job]:
        queue, jobs, size = self._waiting[ledger], list[Job](), 0
        while queue and (not jobs or size + len(queue[0].rest) <= self._group):
            jobs.append(queue.popleft())
            size += len(jobs[-1].rest)
        if not queue:
            del self._waiting[ledger]
        self._writing.add(ledger)
        return jobs

    def _done(self, jobs: Sequence[Job], held: Sequence[Job]) -> None:
        with self._changed:
            self._held.difference_update(job.ledger for job in jobs)
            self._held.update(job.ledger for job in held)
            for job in reversed(held):
                self._waiting.setdefault(job.ledger, deque()).appendleft(job)
            for ledger in {job.ledger: None for job in jobs}:
                self._writing.discard(ledger)
                with suppress(RuntimeError):  # no further thread: this one comes back
                    self._look(ledger)
            if self._closed:
                self._changed.notify_all()

    def _write(self, jobs: Sequence[Job]) -> tuple[Outcomes, list[Job]]:
        """What became of the jobs, and those that have to be tried again."""
        outcomes: list[tuple[Job, Sequence[Answer] | BaseException]] = []
        wanted: list[Job] = []
        for job in jobs:
            if job.begin():
                wanted.append(job)
            else:
                outcomes.append((job, ()))
        requests = [request for job in wanted for request in job.rest]
        if not requests:
            return outcomes, []
        try:
            answers = self._commit(requests, any(job.rows for job in wanted))
        except BaseException as error:
            return outcomes + [(job, job.fail(error)) for job in wanted], []
        held: list[Job] = []
        at, now = 0, time.monotonic()
        for job in wanted:
            end = at + len(job.rest)
            if job.take(answers[at:end], patient=now < job.begun + self._patience):
                outcomes.append((job, job.answers))
            else:
                held.append(job)
            at = end
        return outcomes, held

    def close(self, timeout: float | None = None) -> list[Job]:
        """Take nothing in any more, and wait until all is written; what is not by then is handed back."""
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
