"""A connection that breaks around a commit: whatever was done is done once, and the caller is told what it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.domain import (
    Command,
    Context,
    Create,
    Delete,
    FinishStep,
    Note,
    OutcomeUnknown,
    StartStep,
    StoreUnavailable,
    Update,
)
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Outcome, Request, create_engine
from support import Database
from support.audit import Ledger, audit
from support.wire import Link, Wire, some_lock_is_waited_for, tapped

pytestmark = pytest.mark.store("postgresql")


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


def check(database: Database, answers: dict[str, Answer]) -> Ledger:
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
    return ledger


async def run(
    database: Database, way: str, disturb: Callable[[Wire], object], after: Callable[[Wire], Awaitable[None]]
) -> None:
    answers: dict[str, Answer] = {}
    async with tapped(database.url) as wire, calling(way, wire, database) as caller:
        for name, case in cases_of(way).items():
            for command_id in (None, f"command {name}"):
                job = f"{name}, {command_id}"
                await caller.prepare(job)
                disturb(wire)
                answers[job] = await caller.send(case, job, job, command_id)
                await after(wire)
                assert wire.acts == [], "it was disturbed"
    check(database, answers)


async def nothing(wire: Wire) -> None:
    """Nothing more is to be done."""


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_server_never_saw_is_sent_again(database: Database, way: str) -> None:
    await run(database, way, lambda wire: wire.once(WAYS[way], Link.lose), nothing)


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_committed_is_found_though_its_answer_was_lost(database: Database, way: str) -> None:
    await run(database, way, lambda wire: wire.once(WAYS[way], Link.lose_answer), nothing)


@pytest.mark.parametrize("way", ALONE)
async def test_a_statement_that_arrives_while_it_is_sent_again_is_done_once(database: Database, way: str) -> None:
    def disturb(wire: Wire) -> None:
        async def deliver_first(link: Link, messages: bytes) -> None:
            await wire.deliver(some_lock_is_waited_for(database.url))
            await link.forward(messages)

        wire.once("WITH", wire.hold)
        wire.once("WITH", deliver_first)

    await run(database, way, disturb, nothing)


@pytest.mark.parametrize("way", ALONE)
async def test_a_statement_that_arrives_after_it_was_sent_again_is_refused(database: Database, way: str) -> None:
    await run(database, way, lambda wire: wire.once("WITH", wire.hold), lambda wire: wire.deliver())


async def test_a_commit_that_arrives_while_the_group_is_sent_again_is_found(database: Database) -> None:
    tasks: list[asyncio.Task[None]] = []

    def disturb(wire: Wire) -> None:
        async def deliver_when_waited_for() -> None:
            await some_lock_is_waited_for(database.url)
            await wire.deliver()

        async def hold(link: Link, messages: bytes) -> None:
            await wire.hold(link, messages)
            tasks.append(asyncio.create_task(deliver_when_waited_for()))

        wire.once("COMMIT", hold)

    await run(database, "locking group", disturb, nothing)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("way", WAYS)
async def test_a_commit_that_nobody_can_be_asked_about_is_told_as_unknown(database: Database, way: str) -> None:
    answers: dict[str, Answer] = {}
    async with tapped(database.url) as wire, calling(way, wire, database, patience=0.05) as caller:

        async def lose_answer_and_all_the_rest(link: Link, messages: bytes) -> None:
            wire.down = True
            await link.lose_answer(messages)

        for job, case in cases_of(way).items():
            await caller.prepare(job)
            wire.once(WAYS[way], lose_answer_and_all_the_rest)
            with pytest.raises(OutcomeUnknown, match="command_id"):
                await caller.send(case, job, job, f"command {job}")
            wire.down = False
            answers[job] = await caller.send(case, job, job, f"command {job}")
    check(database, answers)


@pytest.mark.parametrize("way", WAYS)
async def test_a_command_that_was_surely_not_sent_is_told_as_such(database: Database, way: str) -> None:
    async with tapped(database.url) as wire, calling(way, wire, database, patience=0.05) as caller:
        wire.down = True
        for job, case in cases_of(way).items():
            with pytest.raises(StoreUnavailable) as told:
                await caller.send(case, job, job)
            assert type(told.value) is StoreUnavailable
    recorded = [event for ledger in audit(database.url).values() for event in ledger.events]
    assert [event["correlation_id"] for event in recorded if event["correlation_id"]] == []


async def send_in_a_transaction(case: Case, session: AsyncSession, job: str) -> Any:
    assert (await session.execute(text("SELECT 1"))).scalar() == 1
    return await case.call(ExecutionRepository(session), job, command_id=f"command {job}", correlation_id=job)


async def send_with_what_waits(case: Case, session: AsyncSession, job: str) -> Any:
    unit, marker = ExecutionRepository(session, commit=False), f"note {job}"
    await unit.add_note(job, "waits", correlation_id=marker, command_id=marker)
    return await case.call(ExecutionRepository(session), job, command_id=f"command {job}", correlation_id=job)


@pytest.mark.parametrize("send", [send_in_a_transaction, send_with_what_waits])
async def test_a_lost_commit_of_the_callers_transaction_is_told_as_unknown(
    database: Database, send: Callable[[Case, AsyncSession, str], Awaitable[Any]]
) -> None:
    cases = {job: case for job, case in CASES.items() if case.target("") is not None}
    async with tapped(database.url) as wire:
        engine = create_engine(wire.url, pool_size=1, max_overflow=0)
        async with AsyncSession(engine) as session, GroupWriter(database.url) as strangers:
            for job, case in cases.items():
                await Caller("repository", ExecutionRepository(session), strangers).prepare(job)
                wire.once("COMMIT", Link.lose_answer)
                with pytest.raises(OutcomeUnknown, match="command_id"):
                    await send(case, session, job)
                await session.rollback()
                assert await send(case, session, job)
        await engine.dispose()
    check(database, dict.fromkeys(cases, Answer()))


async def test_a_transaction_whose_client_vanished_does_not_keep_the_others_waiting(database: Database) -> None:
    async with tapped(database.url) as wire:
        wire.url += "&options=-c%20idle_in_transaction_session_timeout%3D100ms"
        async with calling("locking group", wire, database) as caller:
            await caller.prepare("job")
            wire.once("COMMIT", wire.hold)  # and its connection to the server stays open
            answer = await caller.send(CASES["note"], "job", "note")
        wire.held.clear()
    check(database, {"note": answer})


@pytest.mark.parametrize(
    "disturb",
    [
        lambda wire: wire.once("WITH", Link.lose),
        lambda wire: wire.once("WITH", Link.lose_answer),
        lambda wire: wire.once("WITH", wire.hold),
    ],
    ids=["never seen", "answer lost", "late"],
)
async def test_a_group_of_several_ledgers_is_done_once_in_each(
    database: Database, disturb: Callable[[Wire], object]
) -> None:
    ledgers = [f"ledger-{at}" for at in range(4)]
    async with tapped(database.url) as wire, GroupWriter(wire.url, workers=1) as writer:

        async def send(*commands: tuple[str | None, Command]) -> None:
            await asyncio.gather(
                *(writer.execute(Request(ledger, *command)) for ledger in ledgers for command in commands)
            )

        await send(("job", Create.of({"job_id": "job"})))
        disturb(wire)
        wire.statements.clear()
        await send(("job", Note.of("n")), (None, Create.of({})))
        assert wire.acts == []
        assert sum(statement.startswith("WITH") for statement in wire.statements) <= 2, "they went together"
        await wire.deliver()
    found = audit(database.url)
    assert set(found) == set(ledgers)
    for ledger in found.values():
        types = [event["type"] for event in ledger.events]
        assert types == ["execution.created", "execution.noted", "execution.created"]
