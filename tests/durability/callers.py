"""Commands of all kinds, and the ways to send them, for tests that disturb the connection meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.domain import Command, Context, Create, Delete, FinishStep, Note, StartStep, Update
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Outcome, Request, create_engine
from support import Database
from support.audit import audit
from support.wire import Wire


class Case(NamedTuple):
    """A command for an execution, as a call of the repository and as a request of the writer."""

    call: Callable[..., Awaitable[Any]]
    command: Callable[[str], Command]
    target: Callable[[str], str | None] = lambda job: job


CASES = {
    "create": Case(
        lambda repository, job, **options: repository.create({"job_id": f"new-{job}"}, **options),
        lambda job: Create.of({"job_id": f"new-{job}"}),
        lambda job: f"new-{job}",
    ),
    "create without a job id": Case(
        lambda repository, job, **options: repository.create({}, **options),
        lambda job: Create.of({}),
        lambda job: None,
    ),
    "change": Case(
        lambda repository, job, **options: repository.update(job, {"message": "m"}, **options),
        lambda job: Update.of({"message": "m"}),
    ),
    "transition": Case(
        lambda repository, job, **options: repository.update(job, {"status": "running"}, **options),
        lambda job: Update.of({"status": "running"}),
    ),
    "note": Case(lambda repository, job, **options: repository.add_note(job, "n", **options), lambda job: Note.of("n")),
    "start of a step": Case(
        lambda repository, job, **options: repository.start_step(job, "s2", **options), lambda job: StartStep.of("s2")
    ),
    "end of a step": Case(
        lambda repository, job, **options: repository.finish_step(job, "s1", **options), lambda job: FinishStep.of("s1")
    ),
    "delete": Case(lambda repository, job, **options: repository.delete(job, **options), lambda job: Delete()),
}


class Answer(NamedTuple):
    """What a caller was told, as far as it was."""

    version: int | None = None
    position: int | None = None


WAYS = {"repository": "WITH", "writer": "WITH", "group": "WITH", "bulk": "WITH", "locking group": "COMMIT"}
"""The ways to send a command, each with how the statement begins that commits it.

A group goes in one statement where all its streams are remembered, and locks them where one is a stranger's.
"""
ALONE = ["repository", "writer", "group", "bulk"]
"""Those whose statement commits itself."""


def cases_of(way: str) -> dict[str, Case]:
    """The commands that are sent in this way."""
    return {name: case for name, case in CASES.items() if way not in ("group", "bulk") or "step" not in name}


class Caller:
    """Sends commands in one of the ways that there are, over one connection."""

    def __init__(self, way: str, ours: ExecutionRepository | GroupWriter, strangers: GroupWriter) -> None:
        self._way = way
        self._ours = ours
        self._strangers = strangers

    async def prepare(self, job: str) -> None:
        """Make an execution with a step, its stream in memory and the connection warm."""
        create = Case(lambda r, job, **o: r.create({"job_id": job}, **o), lambda job: Create.of({"job_id": job}))
        begin = Case(lambda r, job, **o: r.start_step(job, "s1", **o), lambda job: StartStep.of("s1"))
        for case in (create, begin):
            await self.send(case, job, f"{job}, {'create' if case is create else 'begin'}")

    async def send(self, case: Case, job: str, marker: str, command_id: str | None = None) -> Answer:
        """Have it done, alone or with two neighbors."""
        if isinstance(self._ours, ExecutionRepository):
            row = await case.call(self._ours, job, correlation_id=marker, command_id=command_id)
            assert row
            return Answer() if row is True else Answer(row.version)

        def request(target: str | None, command: Command, suffix: str = "") -> Request:
            its_id = command_id and command_id + suffix
            return Request("default", target, command, Context(correlation_id=marker + suffix), command_id=its_id)

        mine = request(case.target(job), case.command(job))
        if self._way == "writer":
            outcome = await self._ours.execute(mine)
            assert outcome is not None
            assert outcome.row is None or outcome.row["version"] == outcome.version
            return Answer(outcome.version, outcome.first_position)
        first = request(None, Create.of({"run_name": marker}), " (first)")
        last = request(None, Create.of({"run_name": marker}), " (last)")
        if self._way == "locking group":
            stranger = f"stranger to {marker}"
            create = Create.of({"job_id": stranger})
            await self._strangers.execute(Request("default", stranger, create, command_id=stranger))
            last = request(stranger, Note.of("n"), " (last)")
        if self._way == "bulk":
            assert await self._ours.execute_many([first, mine, last]) == (3, 0, 0)
            return Answer()
        answers = await self._ours.execute_together([first, mine, last], rows=True)
        assert all(isinstance(answer, Outcome) and answer.event_count == 1 for answer in answers), answers
        outcome = answers[1]
        assert isinstance(outcome, Outcome)
        return Answer(outcome.version, outcome.first_position)


@asynccontextmanager
async def calling(way: str, wire: Wire, database: Database, patience: float = 10.0) -> AsyncIterator[Caller]:
    async with GroupWriter(database.url) as strangers:
        if way == "repository":
            engine = create_engine(wire.url, pool_size=1, max_overflow=0)
            async with AsyncSession(engine) as session:
                yield Caller(way, ExecutionRepository(session), strangers)
            await engine.dispose()
        else:
            async with GroupWriter(wire.url, workers=1, patience=patience) as writer:
                yield Caller(way, writer, strangers)


def check(database: Database, answers: dict[str, Answer]) -> None:
    """Whatever was sent is recorded once, where the caller was told."""
    ledger = audit(database.url)["default"]
    recorded = Counter(event["correlation_id"] for event in ledger.events)
    del recorded[None]  # strangers
    assert {marker: count for marker, count in recorded.items() if count > 1} == {}, "doubled"
    assert answers.keys() <= recorded.keys(), "lost"
    for event in ledger.events:
        answer = answers.get(event["correlation_id"], Answer())
        assert answer.version in (None, event["version"])
        assert answer.position in (None, event["position"])
