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
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Request, create_engine
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


class Caller:
    """Sends commands in one of the ways that there are, over one connection."""

    def __init__(self, repository: ExecutionRepository | None, writer: GroupWriter | None, way: str) -> None:
        self.repository = repository
        self.writer = writer
        self.way = way

    async def send(self, case: Case, job: str, marker: str, command_id: str | None = None) -> Answer:
        """Have it done, alone or with two neighbors."""
        if self.repository is not None:
            row = await case.call(self.repository, job, correlation_id=marker, command_id=command_id)
            assert row
            return Answer() if row is True else Answer(row.version)
        assert self.writer is not None
        mine = Request("default", case.target(job), case.command(job), Context(correlation_id=marker), None, command_id)
        if self.way == "writer":
            outcome = await self.writer.execute(mine)
            assert outcome is not None
            assert outcome.row is None or outcome.row["version"] == outcome.version
            return Answer(outcome.version, outcome.first_position)
        others = [f"{marker}-before", f"{marker}-after"]
        before, after = (
            Request(
                "default",
                None,
                Create.of({"run_name": other}),
                Context(correlation_id=other),
                command_id=command_id and f"command {other}",
            )
            for other in others
        )
        if self.way == "bulk":
            assert await self.writer.execute_many([before, mine, after]) == (3, 0, 0)
            return Answer()
        first, outcome, last = await self.writer.execute_together([before, mine, after], rows=True)
        assert [first.row["run_name"], last.row["run_name"]] == others
        return Answer(outcome.version, outcome.first_position)


WAYS = ("repository", "writer", "group", "bulk")


@asynccontextmanager
async def calling(way: str, url: str, patience: float = 10.0) -> AsyncIterator[Caller]:
    if way == "repository":
        engine = create_engine(url, pool_size=1, max_overflow=0)
        async with AsyncSession(engine) as session:
            yield Caller(ExecutionRepository(session), None, way)
        await engine.dispose()
    else:
        async with GroupWriter(url, workers=1, patience=patience) as writer:
            yield Caller(None, writer, way)


async def prepare(caller: Caller, job: str) -> None:
    """An execution with a step, its stream in memory and the connection warm."""
    create = Case(lambda r, job, **o: r.create({"job_id": job}, **o), lambda job: Create.of({"job_id": job}))
    begin = Case(lambda r, job, **o: r.start_step(job, "s1", **o), lambda job: StartStep.of("s1"))
    await caller.send(create, job, f"{job}-create")
    await caller.send(begin, job, f"{job}-begin")


def sends(way: str) -> str:
    """How the statement begins that commits."""
    return "WITH" if way in ("repository", "writer") else "COMMIT"


def check(database: Database, answers: dict[str, Answer]) -> Ledger:
    """Whatever was sent is recorded once, where the caller was told."""
    ledger = audit(database.url)["default"]
    recorded = Counter(event["correlation_id"] for event in ledger.events)
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
    async with tapped(database.url) as wire, calling(way, wire.url) as caller:
        for name, case in CASES.items():
            for command_id in (None, f"command {name}"):
                job = f"{name}, {command_id}"
                await prepare(caller, job)
                disturb(wire)
                answers[job] = await caller.send(case, job, job, command_id)
                await after(wire)
                assert wire.acts == [], "it was disturbed"
    check(database, answers)


async def nothing(wire: Wire) -> None:
    """Nothing more is to be done."""


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_server_never_saw_is_sent_again(database: Database, way: str) -> None:
    await run(database, way, lambda wire: wire.once(sends(way), Link.lose), nothing)


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_committed_is_found_though_its_answer_was_lost(database: Database, way: str) -> None:
    await run(database, way, lambda wire: wire.once(sends(way), Link.lose_answer), nothing)


@pytest.mark.parametrize("way", ["repository", "writer"])
async def test_a_statement_that_arrives_while_it_is_sent_again_is_done_once(database: Database, way: str) -> None:
    def disturb(wire: Wire) -> None:
        async def deliver_first(link: Link, messages: bytes) -> None:
            await wire.deliver(some_lock_is_waited_for(database.url))
            await link.forward(messages)

        wire.once("WITH", wire.hold)
        wire.once("WITH", deliver_first)

    await run(database, way, disturb, nothing)


@pytest.mark.parametrize("way", ["repository", "writer"])
async def test_a_statement_that_arrives_after_it_was_sent_again_is_refused(database: Database, way: str) -> None:
    await run(database, way, lambda wire: wire.once("WITH", wire.hold), lambda wire: wire.deliver())


@pytest.mark.parametrize("way", ["group", "bulk"])
async def test_a_commit_that_arrives_while_the_group_is_sent_again_is_found(database: Database, way: str) -> None:
    tasks: list[asyncio.Task[None]] = []

    def disturb(wire: Wire) -> None:
        async def deliver_when_waited_for() -> None:
            await some_lock_is_waited_for(database.url)
            await wire.deliver()

        async def hold(link: Link, messages: bytes) -> None:
            await wire.hold(link, messages)
            tasks.append(asyncio.create_task(deliver_when_waited_for()))

        wire.once("COMMIT", hold)

    await run(database, way, disturb, nothing)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("way", WAYS)
async def test_a_commit_that_nobody_can_be_asked_about_is_told_as_unknown(database: Database, way: str) -> None:
    answers: dict[str, Answer] = {}
    async with tapped(database.url) as wire, calling(way, wire.url, patience=0.05) as caller:

        async def lose_answer_and_all_the_rest(link: Link, messages: bytes) -> None:
            wire.down = True
            await link.lose_answer(messages)

        for job, case in CASES.items():
            await prepare(caller, job)
            wire.once(sends(way), lose_answer_and_all_the_rest)
            with pytest.raises(OutcomeUnknown, match="command_id"):
                await caller.send(case, job, job, f"command {job}")
            wire.down = False
            answers[job] = await caller.send(case, job, job, f"command {job}")
    check(database, answers)


@pytest.mark.parametrize("way", WAYS)
async def test_a_command_that_was_surely_not_sent_is_told_as_such(database: Database, way: str) -> None:
    async with tapped(database.url) as wire, calling(way, wire.url, patience=0.05) as caller:
        wire.down = True
        for job, case in CASES.items():
            with pytest.raises(StoreUnavailable) as told:
                await caller.send(case, job, job)
            assert type(told.value) is StoreUnavailable
    assert audit(database.url) == {}


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
        async with AsyncSession(engine) as session:
            for job, case in cases.items():
                await prepare(Caller(ExecutionRepository(session), None, "repository"), job)
                wire.once("COMMIT", Link.lose_answer)
                with pytest.raises(OutcomeUnknown, match="command_id"):
                    await send(case, session, job)
                await session.rollback()
                assert await send(case, session, job)
        await engine.dispose()
    check(database, dict.fromkeys(cases, Answer()))


async def test_a_transaction_whose_client_vanished_does_not_keep_the_others_waiting(database: Database) -> None:
    async with tapped(database.url) as wire:
        url = f"{wire.url}&options=-c%20idle_in_transaction_session_timeout%3D100ms"
        async with GroupWriter(url, workers=1) as writer:
            caller = Caller(None, writer, "group")
            await prepare(caller, "job")
            wire.once("COMMIT", wire.hold)  # and its connection to the server stays open
            answer = await caller.send(CASES["note"], "job", "note")
        wire.held.clear()
    check(database, {"note": answer})
