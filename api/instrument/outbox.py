"""Writes that nobody waits for: a bounded queue, and a thread that sends what is in it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextvars import Context, copy_context

from ...domain import DuplicateKey, IllegalTransition, LedgerBusy, SchemaNotReady, StoreError, StoreUnavailable
from ..client import ServiceError
from .backends import Backend, Write
from .endings import before_the_end
from .forks import after_fork

CAPACITY = 10_000
"""Writes that may wait, unless it is said otherwise."""

PATIENCE = 5.0
"""Seconds that the end of a program waits for what is not written yet."""

THREADS = "execution-ledger"
"""Begins the names of the threads that write."""

_GROUP = 200
_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0)
_DOWN = (StoreUnavailable, LedgerBusy, SchemaNotReady)
_ENDED = frozenset({"completed", "failed", "cancelled"})

_log = logging.getLogger("execution_ledger.instrument")


class Outbox:
    """Takes writes at once, and sends them in their order, again and again until the ledger has them.

    What finds no room is left out and counted; a program is neither held up nor broken.
    """

    def __init__(self, backend: Backend, *, capacity: int = CAPACITY, context: Context | None = None) -> None:
        """`context` is that of the thread which sends."""
        self.capacity = capacity
        self.dropped = 0
        """Writes that were left out, as there was no room or no time for them."""
        self.refused = 0
        """Writes that the ledger would not take."""
        self._backend = backend
        self._context = context or copy_context()
        self._closed = False
        self._begin()
        after_fork(self._begin)

    def _begin(self) -> None:
        # Reentrant: what is collected while the lock is held may end a span.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Write] = deque()
        self._worker: threading.Thread | None = None
        self._taken = self._settled = 0
        self._deadline = float("inf")

    def put(self, *writes: Write, must: bool = False) -> bool:
        """Take writes in, all or none; with `must` also where there is no room, for what ends that was begun."""
        with self._changed:
            room = must or len(self._waiting) + len(writes) <= self.capacity
            if self._closed or not room or not self._has_worker():
                return self.leave_out(len(writes))
            self._waiting.extend(writes)
            self._taken += len(writes)
            self._changed.notify_all()
            return True

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait until all that was put so far is written, or refused; False where that takes longer."""
        with self._changed:
            end = self._taken
            return self._changed.wait_for(lambda: self._settled >= end, seconds)

    def close(self, seconds: float = PATIENCE) -> None:
        """Take nothing more, and write what waits, for so long at most."""
        with self._changed:
            self._closed = True
            self._deadline = time.monotonic() + seconds
            self._changed.notify_all()
            worker = self._worker
        if worker is not None:
            worker.join(seconds)
        with self._changed:
            self.leave_out(len(self._waiting))
            self._settled += len(self._waiting)
            self._waiting.clear()

    def _has_worker(self) -> bool:
        if self._worker is None:
            run = self._context.copy().run  # a child of a process cannot enter what a thread of its parent is in
            work = threading.Thread(target=run, args=(self._work,), name=f"{THREADS}-outbox", daemon=True)
            try:
                before_the_end(self.flush)
                work.start()
            except RuntimeError:  # the interpreter ends, or there are too many threads
                return False
            self._worker = work
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                group = [self._waiting.popleft() for _ in range(min(_GROUP, len(self._waiting)))]
            if not group:
                return
            self._send(group)
            with self._changed:
                self._settled += len(group)
                self._changed.notify_all()

    def _send(self, group: Sequence[Write]) -> None:
        """Until the ledger has answered, or it is too late."""
        failures = 0
        while True:
            try:
                answers = self._backend.send(group)
            except Exception as error:
                answers = [error] * len(group)
            down = next((answer for answer in answers if _may_pass(answer, failures)), None)
            if down is None:
                break
            if not failures:
                _log.warning(
                    "The ledger takes nothing now, it is tried again: %s", down, extra={"action": "ledger_down"}
                )
            with self._changed:
                delay = min(_DELAYS[min(failures, len(_DELAYS) - 1)], max(0, self._deadline - time.monotonic()))
                self._changed.wait_for(lambda: time.monotonic() >= self._deadline, delay)
                if time.monotonic() >= self._deadline:
                    self.leave_out(len(group))
                    return
            failures += 1
        if failures:
            _log.warning("The ledger takes writes again", extra={"action": "ledger_up"})
        self._look(group, answers)

    def _look(self, group: Sequence[Write], answers: Sequence[Exception | None]) -> None:
        late: list[Write] = []
        for write, answer in zip(group, answers, strict=True):
            if isinstance(answer, IllegalTransition) and write.fields.get("status") in _ENDED:
                late.append(_late(write))  # somebody else has ended it
            elif answer is not None and not (isinstance(answer, DuplicateKey) and not answer.deleted):
                self._refuse(write, answer)
        if late:
            self._send(late)

    def _refuse(self, write: Write, error: Exception) -> None:
        with self._changed:
            self.refused += 1
            level = logging.WARNING if self.refused == 1 else logging.DEBUG
        _log.log(
            level, "%s of run %s was not recorded: %s", write.command, write.job_id, error,
            extra={"action": "not_recorded", "job_id": write.job_id},
        )  # fmt: skip

    def leave_out(self, count: int) -> bool:
        """Count what is not even put; False."""
        with self._changed:
            first = count > 0 and not self.dropped
            self.dropped += count
        if first:
            why = "the outbox is closed" if self._closed else f"more than {self.capacity:,} writes wait"
            _log.warning("Something is not recorded: %s; how much, is counted", why, extra={"action": "dropped"})
        return False


def _may_pass(answer: Exception | None, failures: int) -> bool:
    """Whether it may be otherwise when it is tried again."""
    if isinstance(answer, ServiceError):
        return answer.status == 429 or answer.status >= 500
    if isinstance(answer, StoreError):  # of this write alone, it may be: that must not hold up the others for ever
        return failures < len(_DELAYS)
    return isinstance(answer, _DOWN)


def _late(write: Write) -> Write:
    told = {name: write.fields[name] for name in ("status", "result", "error", "occurred_at") if name in write.fields}
    return write._replace(command="late-outcome", fields=told, key=f"{write.key}-late")
