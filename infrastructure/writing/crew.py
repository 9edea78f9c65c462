"""The threads that write: few for many ledgers, and none where nothing is to be done.

Each ledger is written to by one at a time. Meanwhile another one decides on what comes next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Condition, Lock, Thread, current_thread

from ...domain import LedgerBusy, WriterClosed
from ..requests import Request
from .group import Answer, Held
from .jobs import Behind, Job, TakenBack, Turn

_IDLE = 2.0
"""Seconds without work after which a thread ends."""

_SHARED = 32
"""Waiting commands from which on a ledger has transactions of its own."""


Outcomes = Sequence[tuple[Job, Sequence[Answer] | BaseException]]


class Crew:
    """Hands the waiting jobs of a ledger to whichever thread is free, all at once and in the order they came."""

    def __init__(
        self,
        commit: Callable[[Sequence[Request], bool, Turn], list[Answer | Held]],
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
        lock = Lock()
        self._changed = Condition(lock)
        self._left = Condition(lock)
        """Whoever wrote to some ledgers has done so."""
        self._waiting: dict[str, deque[Job]] = {}
        self._deciding: set[str] = set()
        """Ledgers whose next group some thread has."""
        self._writing: set[str] = set()
        self._held: set[str] = set()
        """Ledgers that somebody holds, which are tried by themselves until they are free."""
        self._ready: dict[str, None] = {}
        """Ledgers with waiting jobs whose next group nobody has, those that wait the longest first."""
        self._threads: set[Thread] = set()
        self._free = 0
        self._number = 0
        self._closed = False

    def put(self, jobs: Sequence[Job]) -> None:
        """Take jobs in; refuses once the crew is closed."""
        with self._changed:
            if self._closed:
                raise WriterClosed
            for job in jobs:
                self._number += 1
                job.number = self._number
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
        """See whether somebody may take a ledger's next group, and call or hire one who does."""
        busy = ledger in self._deciding or (ledger in self._writing and ledger in self._held)
        if ledger not in self._waiting or busy:
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
            while turn := self._take():
                held: list[Job] = []
                try:
                    outcomes, held = self._write(turn)
                    self._deliver(outcomes)
                finally:
                    self._done(turn, held)
        finally:
            with self._changed:
                self._threads.discard(current_thread())
                self._changed.notify_all()

    def _take(self) -> Turn | None:
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
                return None
            return Turn(jobs, set(self._held), self._enter)

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
        self._deciding.add(ledger)
        return jobs

    def _enter(self, turn: Turn) -> None:
        """Wait until nobody else writes to the ledgers of a turn."""
        with self._changed:
            while not self._writing.isdisjoint(turn.ledgers):
                self._left.wait()
            if not turn.held.issuperset(self._held & turn.ledgers):
                raise Behind
            self._writing |= turn.ledgers
            self._deciding -= turn.ledgers
            turn.taken = True
            self._look_again(turn.ledgers)

    def _done(self, turn: Turn, held: Sequence[Job]) -> None:
        with self._changed:
            self._held -= turn.ledgers
            self._held.update(job.ledger for job in held)
            for job in held:
                queue = self._waiting.get(job.ledger, ())
                self._waiting[job.ledger] = deque(sorted((*queue, job), key=lambda each: each.number))
            (self._writing if turn.taken else self._deciding).difference_update(turn.ledgers)
            self._look_again(turn.ledgers)
            self._left.notify_all()
            if self._closed:
                self._changed.notify_all()

    def _look_again(self, ledgers: set[str]) -> None:
        for ledger in ledgers:
            with suppress(RuntimeError):  # no further thread: this one comes back
                self._look(ledger)

    def _write(self, turn: Turn) -> tuple[Outcomes, list[Job]]:
        """What became of the jobs, and those that have to be tried again."""
        jobs, start = turn.jobs, time.monotonic()
        for job in jobs:
            job.begun = job.begun or start
        turn.jobs = [job for job in jobs if not job.future.cancelled()]
        while True:
            requests = [request for job in turn.jobs for request in job.rest]
            try:
                answers = self._commit(requests, any(job.rows for job in turn.jobs), turn) if requests else []
                break
            except TakenBack:
                continue
            except BaseException as error:
                return [(job, job.fail(error)) for job in jobs], []
        # A future that was cancelled takes no answer.
        outcomes: list[tuple[Job, Sequence[Answer]]] = [(job, ()) for job in jobs if job not in turn.jobs]
        held: list[Job] = []
        at, now = 0, time.monotonic()
        for job in turn.jobs:
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
