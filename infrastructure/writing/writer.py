"""`GroupWriter`: commands of many clients, written in groups, from coroutines and from threads."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from threading import Lock
from types import TracebackType
from typing import Any, Self, Unpack
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

from ...domain import ContextFields, InvalidInput, LedgerError, WriterClosed
from ...domain.values import check_int
from ..connections import create_writer_engine
from ..event_store import EventStore
from ..requests import Outcome, Request
from .bulk import BulkReport, Progress, Refused, execute_many, of_executions, of_requests
from .commit import Committer
from .crew import Crew, Outcomes
from .gate import Gate
from .group import Answer
from .jobs import Job


class GroupWriter:
    """Writes to the ledgers of one database: all commands that wait for a ledger go into one transaction.

    Ledgers where few commands wait share one. A command is acknowledged once it is committed. One that is refused fails
    alone; its neighbors are committed. Commands for one execution run in the order they were sent. Cancelling a call
    that waits takes its command back, unless it is being written already. Several processes may each have a writer.

        async with GroupWriter("postgresql://…") as writer:
            outcome = await writer.execute(Request("default", "job-7", Update.of({"status": "running"})))
    """

    def __init__(
        self,
        database: str | Engine,
        *,
        store: EventStore | None = None,
        workers: int = 4,
        capacity: int = 10_000,
        group: int = 500,
        ledgers: int = 100,
        patience: float = 10.0,
    ) -> None:
        """Write to `database`: its URL, or a synchronous engine of yours.

        `workers` bounds threads and connections, `capacity` the commands that wait (more make callers wait), `group`
        the commands of a transaction and `ledgers` the ledgers it may serve: 1 on a cluster, where each may be on a
        node of its own. `patience` is for how many seconds a database that cannot be reached is tried again.
        """
        for name, value in (("workers", workers), ("capacity", capacity), ("group", group), ("ledgers", ledgers)):
            check_int(value, name, 1)
        self.store = store or EventStore()
        self._own = isinstance(database, str)
        engine = create_writer_engine(database, workers, patience) if isinstance(database, str) else database
        if engine.dialect.name == "sqlite":
            workers = 1  # it has one writer anyway
        else:
            # Whatever engine it is: a single command is a statement that commits itself.
            engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._engine = engine
        committer = Committer(self._engine, self.store, patience)
        self._crew = Crew(
            lambda requests, rows, turn: committer.commit(requests, turn, rows=rows),
            self._deliver,
            workers=workers,
            group=group,
            ledgers=ledgers,
            patience=patience,
        )
        self._gate = Gate(capacity)
        self._inboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Job]] = WeakKeyDictionary()
        self._lock = Lock()
        """Of the inboxes."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def execute(self, request: Request, *, row: bool = True) -> Outcome | None:
        """Run one command; None where its target does not exist. Without `row` the outcome carries no projected row.

        Raises what the ledger refuses it with.
        """
        (answer,) = await self.execute_together([request], rows=row)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def execute_together(self, requests: Sequence[Request], *, rows: bool = False) -> Sequence[Answer]:
        """Run commands of one ledger, in this order and next to each other; an answer for each, refusals among them."""
        return await (await self.send(requests, rows=rows))

    async def send(self, requests: Sequence[Request], *, rows: bool = False) -> asyncio.Future[Sequence[Answer]]:
        """The same in two steps: this one takes the commands in, what it returns is awaited for their answers."""
        if any(request.ledger != requests[0].ledger for request in requests):
            raise InvalidInput(
                field="ledger", problem="differs among the commands", remedy="Send one ledger's at a time."
            )
        requests = [self.store.named(request) for request in requests]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Answer]] = loop.create_future()
        if not requests:
            future.set_result([])
            return future
        await self._gate.enter(len(requests))
        with self._lock:
            inbox = self._inboxes.get(loop)
            if inbox is None:
                inbox = self._inboxes[loop] = []
            if not inbox:
                # Not at once: whoever is ready in this round of the loop gets into the same group.
                loop.call_soon(self._send, inbox)
            inbox.append(Job(requests, rows, future))
        return future

    def submit(self, request: Request, *, row: bool = True) -> Future[Outcome | None]:
        """The same for threads: a future of the outcome. Waits here while too many commands wait.

        So never call it from a callback of such a future: that runs in the thread which writes, and waits for itself.
        """
        request = self.store.named(request)
        self._gate.enter_from_thread(1)
        future: Future[Any] = Future()
        self._put([Job([request], row, future)])
        return future

    async def execute_many(
        self,
        requests: Iterable[Request] | AsyncIterable[Request],
        *,
        progress: Progress | None = None,
        refused: Refused | None = None,
    ) -> BulkReport:
        """Run any number of commands in constant memory, those of one execution in order.

        `progress` is told how many are done, `refused` each command that was refused and why; without it the first
        refusal is raised, once all that was sent until then is written: up to 1,500 commands behind it, too.
        """
        return await execute_many(self, of_requests(requests), progress, refused)

    async def create_many(
        self,
        executions: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        ledger: str = "default",
        progress: Progress | None = None,
        refused: Refused | None = None,
        **context: Unpack[ContextFields],
    ) -> BulkReport:
        """Create any number of executions in constant memory, their ids in the order they came.

        `refused` is told the data of what was refused.
        """
        return await execute_many(self, of_executions(executions, self.store, ledger, context), progress, refused)

    @property
    def waiting(self) -> int:
        """How many commands wait or are being written."""
        return self._gate.inside

    async def close(self, timeout: float | None = None) -> None:
        """Take in nothing more, write what waits, and end. What is not written within `timeout` seconds is refused."""
        await asyncio.to_thread(self.close_and_wait, timeout)

    def close_and_wait(self, timeout: float | None = None) -> None:
        """The same for threads."""
        self._gate.close()
        with self._lock:
            inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            self._send(inbox)
        left_over = self._crew.close(timeout)
        self._deliver([(job, job.fail(WriterClosed())) for job in left_over])
        if self._own:
            self._engine.dispose()

    def _send(self, inbox: list[Job]) -> None:
        with self._lock:
            jobs, inbox[:] = list(inbox), []
        if jobs:
            self._put(jobs)

    def _put(self, jobs: Sequence[Job]) -> None:
        try:
            self._crew.put(jobs)
        except LedgerError as refused:
            self._deliver([(job, refused) for job in jobs])

    def _announce(self, outcomes: Outcomes) -> None:
        sizes: dict[str, int] = {}
        for job, answers in outcomes:
            for answer in answers if not isinstance(answers, BaseException) else ():
                if isinstance(answer, Outcome) and answer.position is not None:
                    sizes[job.ledger] = max(answer.position, sizes.get(job.ledger, 0))
        if sizes and self.store.announcer is not None:
            self.store.announcer.announce(sizes)

    def _deliver(self, outcomes: Outcomes) -> None:
        if self.store.announcer is not None:
            self._announce(outcomes)
        self._gate.leave(sum(len(job.requests) for job, _ in outcomes))
        of_loop: dict[asyncio.AbstractEventLoop, list[tuple[Any, Any]]] = defaultdict(list)
        for job, outcome in outcomes:
            if isinstance(job.future, Future):
                _settle_thread(job.future, outcome)
            else:
                of_loop[job.future.get_loop()].append((job.future, outcome))
        for loop, group in of_loop.items():
            try:
                loop.call_soon_threadsafe(_set_all, group)
            except RuntimeError:  # the loop has ended, and with it whoever waited
                continue


def _set_all(outcomes: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in outcomes:
        _set(future, outcome)


def _set(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _settle_thread(future: Future[Any], outcome: Any) -> None:
    if future.cancelled() or not (future.running() or future.set_running_or_notify_cancel()):
        return
    answer = outcome if isinstance(outcome, BaseException) else outcome[0]
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
