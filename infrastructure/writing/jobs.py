"""What waits to be written, and the right of a group to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ...domain import LedgerBusy
from ..requests import Request
from .group import Answer, Held


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
    """When it was first tried."""
    number: int = 0
    """Its place in the order in which jobs came."""

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


class Behind(Exception):
    """Earlier commands of a ledger are held, and these would overtake them."""

    error = LedgerBusy(problem="earlier commands wait for whoever holds the ledger", remedy="Try again later.")


class TakenBack(Exception):
    """Some commands were cancelled while they were decided on: without them, others may be decided otherwise."""


@dataclass(slots=True, eq=False)
class Turn:
    """The right of a group to write to its ledgers: of one at a time, while the next one is decided."""

    jobs: list[Job]
    """Those that are wanted; once it is taken, nobody can cancel them any more."""
    held: set[str]
    """Ledgers that were held when it began."""
    enter: Callable[[Turn], None]
    ledgers: set[str] = field(init=False)
    taken: bool = False

    def __post_init__(self) -> None:
        self.ledgers = {job.ledger for job in self.jobs}
        self.held &= self.ledgers

    def take(self) -> None:
        """Wait for it. Raises `Behind` where what came before is tried again, `TakenBack` where jobs are fewer now."""
        if self.taken:
            return
        self.enter(self)
        wanted = [job for job in self.jobs if job.begin()]
        if len(wanted) < len(self.jobs):
            self.jobs = wanted
            raise TakenBack
