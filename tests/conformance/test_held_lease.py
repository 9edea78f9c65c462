"""A lease that renews itself while its holder works: kept, lost, given back, or left to the reaper."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import StaticPool, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput, LeaseLost, StoreUnavailable, UnknownExecution
from execution_ledger.infrastructure import ExecutionRepository, HeldLease, Leases, create_engine, create_schema
from execution_ledger.infrastructure.tables import execution_leases
from support import ledger

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def running(repository: ExecutionRepository) -> ExecutionRepository:
    await repository.create_execution({"job_id": "job", "status": "running"})
    return repository


async def until(condition: Callable[[], Any]) -> None:
    """Wait for it, as long as it takes."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def renewed(held: HeldLease, times: int = 1) -> None:
    for _ in range(times):
        before = held.lease.expires_at
        await until(lambda before=before: held.lease.expires_at > before)


async def tokens(engine: AsyncEngine) -> list[int]:
    return [row.token for row in await ledger.rows(engine, select(execution_leases.c.token))]


async def test_it_is_renewed_while_the_block_lasts_and_released_after(
    running: ExecutionRepository, engine: AsyncEngine, sessions: Sessions
) -> None:
    async with running.held_lease("job", holder="a", ttl=1) as held:
        first = held.lease
        async with sessions() as session:
            reaper = ExecutionRepository(session)
            while held.lease.expires_at.timestamp() < first.expires_at.timestamp() + 1:  # it would be over by now
                assert await reaper.reap_expired_leases() == []
                await renewed(held)
        assert await tokens(engine) == [1]
        assert 0 < held.remaining <= 1
        held.check()
        await running.mark_execution_completed("job", lease=held.lease)
    assert await tokens(engine) == []
    assert await ledger.types(engine) == ["created", "completed"]


async def test_a_block_that_fails_leaves_its_lease_to_the_reaper(
    running: ExecutionRepository, engine: AsyncEngine
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with running.held_lease("job", holder="a", ttl=0.2):
            raise ZeroDivisionError
    assert await tokens(engine) == [1]
    reaped: list[Any] = []
    while not reaped:
        reaped = await running.reap_expired_leases()
    assert [each.status for each in reaped] == ["failed"]


async def test_a_block_that_is_cancelled_does_so_as_well(
    running: ExecutionRepository, sessions: Sessions, engine: AsyncEngine
) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with sessions() as session, ExecutionRepository(session).held_lease("job", holder="a", ttl=60):
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert await tokens(engine) == [1]


async def test_it_tells_when_it_was_lost(running: ExecutionRepository, engine: AsyncEngine) -> None:
    async with running.held_lease("job", holder="a", ttl=0.3) as held:
        await running.take_lease("job", holder="a", ttl=60)  # another process by the same name
        async with asyncio.timeout(30):
            await held.lost.wait()
        assert held.remaining < 0
        with pytest.raises(LeaseLost):
            held.check()
        with pytest.raises(LeaseLost):
            await running.add_note("job", "n", lease=held.lease)
    assert await tokens(engine) == [2], "what is not ours is not released"


async def test_after_the_machine_slept_it_is_renewed_at_once(
    running: ExecutionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running.held_lease("job", holder="a", ttl=600) as held:
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 3_600)  # the other clock stood still
        assert held.remaining < 0
        await renewed(held)
        assert held.remaining > 0


async def test_while_the_database_is_away_it_goes_on_trying(
    running: ExecutionRepository, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, away = Leases.renew, True

    def fail(*arguments: Any) -> Any:
        if away:
            raise OperationalError("UPDATE …", {}, ConnectionError("gone"))
        return renew(*arguments)

    monkeypatch.setattr(Leases, "renew", fail)
    async with running.held_lease("job", holder="a", ttl=0.3) as held:
        await until(lambda: held.remaining < 0)
        assert held.trouble is not None
        assert not held.lost.is_set(), "nobody has said so"
        away = False
        await until(lambda: held.remaining > 0)
        assert held.trouble is None
        await running.add_note("job", "still mine", lease=held.lease)


async def test_a_database_that_never_answers_is_given_up_and_asked_anew(
    running: ExecutionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sync, hung, loop = AsyncConnection.run_sync, 0, asyncio.get_running_loop()

    async def hang(self: Any, *work: Any) -> Any:
        nonlocal hung
        ours = asyncio.get_running_loop() is loop  # a service that serves other tests may be in this process
        if ours and hung < 2:  # twice, so that the trouble lasts and is seen however slow the machine is
            hung += 1
            await asyncio.sleep(60)
        return await run_sync(self, *work)

    async with running.held_lease("job", holder="a", ttl=0.5) as held:
        monkeypatch.setattr(AsyncConnection, "run_sync", hang)
        await until(lambda: isinstance(held.trouble, StoreUnavailable))
        await until(lambda: held.trouble is None)
        assert hung == 2
    assert not held.lost.is_set()


async def test_a_lease_that_may_be_somebody_elses_does_not_pass_the_check(
    running: ExecutionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise StoreUnavailable(problem="away")

    async with running.held_lease("job", holder="a", ttl=0.3) as held:
        held.check()
        monkeypatch.setattr(Leases, "renew", away)
        await until(lambda: held.remaining < 0)
        with pytest.raises(LeaseLost):
            held.check()
        assert not held.lost.is_set(), "nobody took it yet"
        monkeypatch.undo()
        await renewed(held)
        held.check()


async def test_an_error_that_nobody_foresaw_is_not_swallowed(
    running: ExecutionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Leases, "renew", fail)
    with pytest.raises(ZeroDivisionError):
        async with running.held_lease("job", holder="a", ttl=0.3):
            await until(lambda: "lease on job" not in {task.get_name() for task in asyncio.all_tasks()})


async def test_what_cannot_be_leased_begins_no_block(running: ExecutionRepository) -> None:
    with pytest.raises(UnknownExecution):
        async with running.held_lease("nothing", holder="a"):
            pytest.fail("it began")


async def test_a_lease_that_is_not_committed_cannot_be_held(
    session: AsyncSession, running: ExecutionRepository
) -> None:
    with pytest.raises(InvalidInput, match="commit: is False"):
        async with ExecutionRepository(session, commit=False).held_lease("job", holder="a"):
            pytest.fail("it began")


async def test_a_single_connection_is_refused_since_a_renewal_would_commit_what_is_under_way() -> None:
    engine = create_engine("sqlite:///:memory:", poolclass=StaticPool)
    async with engine.begin() as connection:
        await connection.run_sync(create_schema)
    async with engine.connect() as connection:
        for bind in (engine, connection):
            async with AsyncSession(bind) as session:
                with pytest.raises(InvalidInput, match="session: has a single connection"):
                    async with ExecutionRepository(session).held_lease("job", holder="a"):
                        pytest.fail("it began")
    await engine.dispose()
