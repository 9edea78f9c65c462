"""Writes that nobody waits for: a bounded queue, and a thread that sends what is in it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextvars import Context, copy_context

from ...domain import DuplicateKey, IllegalTransition, InvalidInput, LedgerError, StoreError
from ...domain.status import TERMINAL
from ..client import ServiceError
from ..http.problem_kinds import find_kind
from .backends import Backend, Write
from .endings import before_the_end
from .forks import FORK_PATIENCE, after_fork, before_fork

CAPACITY = 10_000
"""Writes that may wait, unless it is said otherwise."""

PATIENCE = 5.0
"""Seconds that the end of a program waits for what is not written yet."""

THREADS = "execution-ledger"
"""Begins the names of the threads that write."""

_GROUP = 200
_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0)
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
        before_fork(self._before_fork)
        after_fork(self._begin)

    def _begin(self) -> None:
        # Reentrant: what is collected while the lock is held may end a span.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Write] = deque()
        self._worker: threading.Thread | None = None
        self.down = False
        """Whether the ledger takes nothing now, so that it is tried again."""
        self._taken = self._settled = 0
        self._deadline = float("inf")

    def put(self, *writes: Write, must: bool = False, patience: float = 0) -> bool:
        """Take writes in, all or none; with `must` also where there is no room, for what ends that was begun.

        `patience` is for how many seconds it waits for room, as long as the ledger takes writes at all.
        """

        def room() -> bool:
            return must or len(self._waiting) + len(writes) <= self.capacity

        with self._changed:
            if patience:
                self._changed.wait_for(lambda: room() or self._closed or self.down, patience)
            taken = room() and not self._closed and self._has_worker()
            if taken:
                self._waiting.extend(writes)
                self._taken += len(writes)
                self._changed.notify_all()
        return taken or self.leave_out(len(writes))

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait until all that was put so far is written, or refused; False where that takes longer."""
        with self._changed:
            end = self._taken
            return self._changed.wait_for(lambda: self._settled >= end, seconds)

    def settle(self, seconds: float = PATIENCE) -> None:
        """Wait likewise, but for no ledger that takes nothing now."""
        with self._changed:
            end = self._taken
            self._changed.wait_for(lambda: self._settled >= end or self.down, seconds)

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
            left = len(self._waiting)
            self._settled += left
            self._waiting.clear()
        self.leave_out(left)

    def _before_fork(self) -> None:
        # What a child says may build on what was said before: a step on the one around it.
        self.settle(FORK_PATIENCE)

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
                if len(group) > 1 and not _may_pass(error, failures):
                    # Refused as a whole, as where it is too much at once: all but what is to blame may be taken.
                    half = len(group) // 2
                    self._send(group[:half])
                    self._send(group[half:])
                    return
                answers = [error] * len(group)
            trouble = next((answer for answer in answers if _may_pass(answer, failures)), None)
            self._tell_whether_down(trouble)
            if trouble is None:
                break
            with self._changed:
                delay = min(_DELAYS[min(failures, len(_DELAYS) - 1)], max(0, self._deadline - time.monotonic()))
                self._changed.wait_for(lambda: time.monotonic() >= self._deadline, delay)
                late = time.monotonic() >= self._deadline
            if late:
                self.leave_out(len(group))
                return
            failures += 1
        self._look(group, answers)

    def _tell_whether_down(self, trouble: Exception | None) -> None:
        with self._changed:
            was, self.down = self.down, trouble is not None
            self._changed.notify_all()
        if self.down and not was:
            _log.warning(
                "The ledger takes nothing now, it is tried again: %s", trouble, extra={"action": "ledger_down"}
            )
        elif was and not self.down:
            _log.warning("The ledger takes writes again", extra={"action": "ledger_up"})

    def _look(self, group: Sequence[Write], answers: Sequence[Exception | None]) -> None:
        instead: list[Write] = []
        for write, answer in zip(group, answers, strict=True):
            if answer is None or (isinstance(answer, DuplicateKey) and not answer.deleted):
                continue
            other = _instead(write, answer)
            if other is None:
                self._refuse(write, answer)
            else:
                instead.append(other)
        if instead:
            self._send(instead)

    def _refuse(self, write: Write, error: Exception) -> None:
        with self._changed:
            self.refused += 1
            first = self.refused == 1
        ends = write.command != "finish-step" and _outcome(write) is not None  # what stays running is to be found
        level = logging.WARNING if first or ends else logging.DEBUG
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
    return isinstance(answer, LedgerError) and find_kind(type(answer)).retry_after is not None


def _outcome(write: Write) -> str | None:
    """How the run ended, or the step, where the write tells that."""
    if write.command == "finish-step":
        return write.fields.get("outcome")
    status = write.fields.get("status")
    return status if write.command in ("update", "late-outcome") and status in _ENDED else None


def _instead(write: Write, refused: Exception) -> Write | None:
    """What is told in place of what the ledger would not take, so that no end is lost."""
    outcome, told = _outcome(write), dict(write.fields)
    if outcome is None:
        return None
    if isinstance(refused, IllegalTransition) and write.command == "update" and refused.source in TERMINAL:
        # Somebody else has ended it. What has not ended waits for a person, whom nobody overrules here.
        told = {name: told[name] for name in ("status", "result", "error", "occurred_at") if name in told}
        return write._replace(command="late-outcome", fields=told, key=f"{write.key}-late")
    if isinstance(refused, InvalidInput) and told.pop("result", None) is not None:
        _log.warning(
            "The result of run %s was not recorded: %s", write.job_id, refused,
            extra={"action": "not_recorded", "job_id": write.job_id},
        )  # fmt: skip
        return write._replace(fields=told, key=f"{write.key}-bare")
    return None
