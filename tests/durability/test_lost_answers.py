"""A connection that breaks around a commit: whatever was done is done once, and the caller is told what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from durability.callers import ALONE, CASES, WAYS, Answer, Caller, Case, calling, cases_of, check
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.domain import (
    Command,
    Create,
    Note,
    OutcomeUnknown,
    StoreUnavailable,
)
from execution_ledger.infrastructure import (
    EventStore,
    ExecutionRepository,
    GroupWriter,
    Outcome,
    Request,
    create_engine,
    create_sync_engine,
    reap_expired_leases,
)
from execution_ledger.infrastructure.writing import commit
from support import Database
from support.audit import audit
from support.ledger import execute
from support.wire import Link, Wire, some_lock_is_waited_for, tapped

pytestmark = pytest.mark.store("postgresql")


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
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, None])
async def test_a_statement_that_arrives_late_is_done_once(database: Database, way: str, number: int | None) -> None:
    """It arrives just before the `number`th statement of the second try, or after all of them."""

    def disturb(wire: Wire) -> None:
        async def hold(link: Link, messages: bytes) -> None:
            await wire.hold(link, messages)
            if number is not None:
                for _ in range(number - 1):
                    wire.once("", Link.forward)
                wire.once("", deliver_first)

        async def deliver_first(link: Link, messages: bytes) -> None:
            await wire.deliver(some_lock_is_waited_for(database.url))
            await link.forward(messages)

        wire.once("WITH", hold)

    async def deliver(wire: Wire) -> None:
        wire.acts.clear()  # where the second try had fewer statements
        await wire.deliver()

    await run(database, way, disturb, deliver)


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


@pytest.mark.parametrize("way", ALONE)
async def test_who_cannot_look_for_a_lock_is_told_that_it_is_unknown(database: Database, way: str) -> None:
    """It was not recorded when the caller was told, and was when what the network had held back arrived."""
    engine = create_sync_engine(database.url)
    async with tapped(database.url) as wire, AsyncExitStack() as stack:
        wire.url += "&options=-c%20lock_timeout%3D50ms"
        caller = await stack.enter_async_context(calling(way, wire, database, patience=0.3))
        await caller.prepare("job")
        with engine.connect() as holder:

            async def hold(link: Link, messages: bytes) -> None:
                statement = "SELECT 1 FROM execution_streams WHERE job_id = 'job' FOR UPDATE"
                await asyncio.to_thread(holder.exec_driver_sql, statement)
                await wire.hold(link, messages)

            wire.once("WITH", hold)
            with pytest.raises(OutcomeUnknown, match="lock"):
                await caller.send(CASES["note"], "job", "note")
        await wire.deliver()
    engine.dispose()
    check(database, {"note": Answer()})


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


@pytest.mark.parametrize("waits", [True, False])
async def test_a_lost_commit_of_a_lease_is_told_as_unknown(database: Database, waits: bool) -> None:
    async with tapped(database.url) as wire:
        engine = create_engine(wire.url)
        async with AsyncSession(engine) as session:
            repository = ExecutionRepository(session)
            await repository.create({"job_id": "job"})
            if waits:
                await ExecutionRepository(session, commit=False).add_note("job", "waits")
            wire.once("COMMIT", Link.lose_answer)
            with pytest.raises(OutcomeUnknown):
                await repository.take_lease("job", holder="worker")
            await session.rollback()
            lease = await repository.take_lease("job", holder="worker")
            assert lease.token == 2, "of the same holder, it was taken anew"
        await engine.dispose()
    (found,) = audit(database.url).values()
    assert [event["type"] for event in found.events] == ["execution.created", *["execution.noted"] * waits]


async def test_a_lost_commit_of_a_reaper_is_told_as_unknown_and_done_once(database: Database) -> None:
    async with tapped(database.url) as wire:
        engine = create_engine(wire.url)
        async with AsyncSession(engine) as session:
            repository = ExecutionRepository(session)
            await repository.create({"job_id": "job"})
            await repository.take_lease("job", holder="worker", ttl=0.1)
        await asyncio.sleep(0.12)
        wire.once("COMMIT", Link.forward)  # of the search
        wire.once("COMMIT", Link.lose_answer)
        with pytest.raises(OutcomeUnknown):
            await anext(reap_expired_leases(engine, EventStore()))
        assert [each async for each in reap_expired_leases(engine, EventStore())] == []
        await engine.dispose()
    (found,) = audit(database.url).values()
    assert [event["type"] for event in found.events] == ["execution.created", "execution.failed"]


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


async def test_what_was_committed_before_an_outage_is_acknowledged(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "MAX_BYTES", 1)  # so that each command goes into a transaction of its own
    requests = [Request("default", f"job-{at}", Create.of({"job_id": f"job-{at}"})) for at in range(3)]
    async with tapped(database.url) as wire, GroupWriter(wire.url, workers=1, patience=0) as writer:
        await writer.execute(Request("default", "job", Create.of({"job_id": "job"})))
        lose_the_rest(wire, after=1)
        answers = await writer.execute_together(requests)
        assert [type(answer) for answer in answers] == [Outcome, OutcomeUnknown, OutcomeUnknown]
    assert recorded_jobs(database) == ["job", "job-0"]


async def test_what_fits_is_acknowledged_though_an_outage_hides_whether_the_rest_does(database: Database) -> None:
    engine = create_sync_engine(database.url)
    execute(
        engine,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON execution_events FOR EACH ROW WHEN (strpos(NEW.data, 'big') > 0) "
        "EXECUTE FUNCTION refuse()",
    )
    engine.dispose()
    requests = [Request("default", name, Create.of({"job_id": name})) for name in ("small", "big")]
    async with tapped(database.url) as wire, GroupWriter(wire.url, workers=1, patience=0) as writer:
        await writer.execute(Request("default", "job", Create.of({"job_id": "job"})))
        lose_the_rest(wire, after=2)  # both together, then the one that fits by itself
        answers = await writer.execute_together(requests)
        assert [type(answer) for answer in answers] == [Outcome, OutcomeUnknown]
    assert recorded_jobs(database) == ["job", "small"]


def lose_the_rest(wire: Wire, after: int) -> None:
    """Let so many appends through, and nothing from then on."""

    async def lose(link: Link, messages: bytes) -> None:
        wire.down = True
        await link.lose(messages)

    for _ in range(after):
        wire.once("WITH", Link.forward)
    wire.once("WITH", lose)


def recorded_jobs(database: Database) -> list[str]:
    return sorted(row["job_id"] for row in audit(database.url)["default"].rows.values())
