"""Leases on both stores: taken, renewed, released, fenced; who is live is told by one clock."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import (
    Context,
    IllegalTransition,
    InvalidInput,
    LeaseHeld,
    LeaseLost,
    LedgerBusy,
    UnknownExecution,
    VersionConflict,
)
from execution_ledger.infrastructure import (
    EventStore,
    ExecutionRepository,
    GroupWriter,
    Lease,
    Leases,
    create_engine,
    reaper,
)
from execution_ledger.infrastructure.leases import Expired
from execution_ledger.infrastructure.reaper import reap
from execution_ledger.infrastructure.tables import execution_leases, execution_streams
from support import Database, ledger
from support.audit import audit

Sessions = async_sessionmaker[AsyncSession]
HOUR = timedelta(hours=1)


class Clock:
    """A machine's clock, as far off as one likes."""

    def __init__(self, off: timedelta = timedelta()) -> None:
        self.off = off

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.off


@pytest.fixture
async def running(repository: ExecutionRepository) -> ExecutionRepository:
    """A repository with one execution, `job`, that runs."""
    await repository.create_execution({"job_id": "job", "status": "running"})
    return repository


async def leases(engine: AsyncEngine) -> dict[int, tuple[int, str]]:
    """Id of the execution → token and holder of its lease."""
    lease, stream = execution_leases.c, execution_streams.c
    joined = execution_leases.join(execution_streams, lease.execution_id == stream.execution_id)
    found = await ledger.rows(engine, select(stream.id, lease.token, lease.holder).select_from(joined))
    return {row.id: (row.token, row.holder) for row in found}


async def until_expired(repository: ExecutionRepository, lease: Lease) -> None:
    """Wait until the clock that leases go by has passed the end of the lease."""
    statement = text("SELECT clock_timestamp()")
    async with async_sessionmaker(repository.session.bind)() as session:
        postgresql = session.get_bind().dialect.name == "postgresql"
        while True:
            now = (await session.execute(statement)).scalar_one() if postgresql else repository._store.clock()
            if now >= lease.expires_at:
                return
            await asyncio.sleep((lease.expires_at - now).total_seconds())


async def test_a_lease_is_taken_renewed_and_released_without_an_event(
    running: ExecutionRepository, engine: AsyncEngine
) -> None:
    before = await ledger.everything(engine)
    lease = await running.take_lease("job", holder="a", ttl=10)
    assert (lease.ledger, lease.id, lease.key, lease.token, lease.holder) == ("default", 1, "job", 1, "a")
    assert lease.expires_at - lease.taken_at == timedelta(seconds=10)
    assert await leases(engine) == {1: (1, "a")}
    renewed = await running.renew_lease(lease, ttl=20)
    assert timedelta(seconds=20) <= renewed.expires_at - lease.taken_at < timedelta(seconds=80)
    assert (renewed.token, renewed.taken_at) == (1, lease.taken_at)
    assert await running.release_lease(renewed) is True
    assert await running.release_lease(lease) is False
    assert await leases(engine) == {}
    after = await ledger.everything(engine)
    del before["execution_streams"], after["execution_streams"]  # it has the token
    assert after == before


async def test_renewing_touches_the_lease_and_nothing_else(running: ExecutionRepository, engine: AsyncEngine) -> None:
    lease = await running.take_lease("job", holder="a", ttl=10)
    before = await ledger.everything(engine)
    await running.renew_lease(lease, ttl=20)
    after = await ledger.everything(engine)
    assert {name for name in before if before[name] != after[name]} == {"execution_leases"}


@pytest.mark.store("postgresql")
async def test_renewals_stay_on_their_page_and_leave_the_indexes_alone(
    running: ExecutionRepository, engine: AsyncEngine
) -> None:
    lease = await running.take_lease("job", holder="a", ttl=10)
    for _ in range(30):
        lease = await running.renew_lease(lease)
    await running.session.execute(text("SELECT pg_stat_force_next_flush()"))
    await running.session.commit()
    statistics = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'execution_leases'")
    async with engine.connect() as connection:
        assert (await connection.execute(statistics)).one() == (30, 30)


async def test_while_a_lease_lasts_nobody_else_gets_one(running: ExecutionRepository, engine: AsyncEngine) -> None:
    lease = await running.take_lease(1, holder="a", ttl=60)
    for target in (1, "job"):
        with pytest.raises(LeaseHeld) as refused:
            await running.take_lease(target, holder="b")
        assert (refused.value.key, refused.value.holder, refused.value.until) == ("job", "a", lease.expires_at)
    assert await leases(engine) == {1: (1, "a")}
    await running.update_execution("job", {"progress": 0.5}, lease=lease)


async def test_a_new_lease_has_a_higher_token_and_fences_the_old_one_off(running: ExecutionRepository) -> None:
    first = await running.take_lease("job", holder="a", ttl=0.1)
    await until_expired(running, first)
    second = await running.take_lease("job", holder="b", ttl=60)
    third = await running.take_lease("job", holder="b", ttl=60)  # as after a restart
    await running.release_lease(third)
    fourth = await running.take_lease("job", holder="c")
    assert [first.token, second.token, third.token, fourth.token] == [1, 2, 3, 4]
    for lost in (first, second, third, third.token):
        with pytest.raises(LeaseLost):
            await running.add_note("job", "still here", lease=lost)
        if isinstance(lost, Lease):
            with pytest.raises(LeaseLost):
                await running.renew_lease(lost)
            assert await running.release_lease(lost) is False
    await running.add_note("job", "mine", lease=fourth)
    noted = await running.add_note("job", "without a lease, as ever")
    assert noted is not None
    assert noted.version == 3


async def test_an_expired_lease_that_nobody_took_away_can_be_renewed(running: ExecutionRepository) -> None:
    lease = await running.take_lease("job", holder="a", ttl=0.1)
    await until_expired(running, lease)
    renewed = await running.renew_lease(lease, ttl=60)
    assert renewed.token == lease.token
    assert await running.reap_expired_leases() == []
    with pytest.raises(LeaseHeld):
        await running.take_lease("job", holder="b")


async def test_what_is_unknown_deleted_or_over_cannot_be_leased(running: ExecutionRepository) -> None:
    await running.create_execution({"job_id": "gone"})
    await running.delete("gone")
    for target in ("nothing", "gone", 7, 2, -1):
        with pytest.raises(UnknownExecution) as refused:
            await running.take_lease(target, holder="a")
        assert refused.value.target == target
    await running.mark_execution_completed("job")
    with pytest.raises(IllegalTransition, match="nobody can take a lease"):
        await running.take_lease("job", holder="a")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"holder": ""}, "holder"),
        ({"holder": "x" * 256}, "holder"),
        ({"holder": "a\0"}, "holder"),
        ({"holder": "a", "ttl": 0}, "ttl"),
        ({"holder": "a", "ttl": 100_000}, "ttl"),
    ],
)
async def test_bad_leases_are_refused_by_field(
    running: ExecutionRepository, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await running.take_lease("job", **options)
    assert refused.value.field == field


async def test_a_write_takes_a_lease_on_that_very_execution_or_a_token(running: ExecutionRepository) -> None:
    await running.create_execution({"job_id": "other"})
    lease = await running.take_lease("job", holder="a")
    elsewhere = ExecutionRepository(running.session, ledger="elsewhere")
    await elsewhere.create_execution({"job_id": "job"})
    for repository, target in ((running, "other"), (running, 2), (elsewhere, "job"), (elsewhere, 1)):
        with pytest.raises(InvalidInput, match="lease: is on 'job' of ledger 'default'"):
            await repository.add_note(target, "n", lease=lease)
    for token in (0, -1, True, "1", 2**63):
        with pytest.raises(InvalidInput, match="lease"):
            await running.add_note("job", "n", lease=token)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="take a lease"):
        await running.create_execution({}, lease=1)
    for lease_or_token in (lease, lease.token):
        assert await running.add_note(1, "n", lease=lease_or_token) is not None


async def test_an_outcome_after_the_reaper_is_kept_as_the_late_outcome(
    running: ExecutionRepository, engine: AsyncEngine
) -> None:
    lease = await running.take_lease("job", holder="box:7", ttl=0.1)
    await until_expired(running, lease)
    (reaped,) = await running.reap_expired_leases()
    assert (reaped.key, reaped.token, reaped.holder, reaped.status) == ("job", 1, "box:7", "failed")
    assert reaped.expired_at == lease.expires_at
    assert reaped.at >= lease.expires_at
    with pytest.raises(LeaseLost):
        await running.renew_lease(lease)
    with pytest.raises(LeaseLost):
        await running.update_execution("job", {"progress": 0.9}, lease=lease)
    done = await running.mark_execution_completed("job", {"rows": 3}, lease=lease)
    assert done is not None
    assert (done.status, done.late_outcome["status"], done.late_outcome["result"]) == (
        "failed",
        "completed",
        {"rows": 3},
    )
    failed = (await ledger.events(engine))[1]
    assert (failed.type, failed.actor, failed.reason) == ("execution.failed", "reaper", "its lease expired")
    assert done.error.startswith("The lease of box:7 expired at ")
    assert await ledger.types(engine) == ["created", "failed", "late_outcome"]
    assert await running.mark_execution_failed("job", "again", lease=lease) is not None
    assert await ledger.types(engine) == ["created", "failed", "late_outcome", "late_outcome"]


async def test_an_outcome_after_an_operators_end_is_kept_under_a_lease_that_still_lasts(
    running: ExecutionRepository, engine: AsyncEngine
) -> None:
    lease = await running.take_lease("job", holder="a", ttl=60)
    await running.update_execution("job", {"status": "cancelled"}, actor="operator")
    with pytest.raises(IllegalTransition):
        await running.mark_execution_completed("job", 1)
    kept = await running.mark_execution_completed("job", 1, lease=lease, command_id="done")
    assert kept is not None
    assert (kept.status, kept.late_outcome["result"]) == ("cancelled", 1)
    again = await running.mark_execution_completed("job", 1, lease=lease, command_id="done")
    assert again is not None
    assert again.version == kept.version == 3
    assert await ledger.types(engine) == ["created", "cancelled", "late_outcome"]


async def test_a_command_sent_again_under_another_lease_is_the_same_command(running: ExecutionRepository) -> None:
    first = await running.take_lease("job", holder="a", ttl=60)
    told = await running.add_note("job", "n", command_id="c", lease=first)
    second = await running.take_lease("job", holder="a", ttl=60)
    for lease in (first, second, None):
        again = await running.add_note("job", "n", command_id="c", lease=lease)
        assert told is not None
        assert again is not None
        assert again.version == told.version


@pytest.mark.parametrize("status", ["pending", "preparing", "running", "waiting_for_approval", "stopping"])
async def test_the_reaper_ends_a_run_in_any_open_status(repository: ExecutionRepository, status: str) -> None:
    await repository.create_execution({"job_id": "job", "status": status})
    lease = await repository.take_lease("job", holder="a", ttl=0.1)
    await until_expired(repository, lease)
    (reaped,) = await repository.reap_expired_leases()
    row = await repository.get("job")
    assert row is not None
    assert reaped.status == row.status == ("stopped" if status == "stopping" else "failed")
    assert row.completed_at is not None
    assert row.completed_at >= lease.expires_at
    assert await repository.reap_expired_leases() == []


async def test_the_reaper_leaves_alone_what_is_live_or_was_never_leased(
    running: ExecutionRepository, engine: AsyncEngine
) -> None:
    await running.create_execution({"job_id": "leased", "status": "running"})
    await running.create_execution({"job_id": "over", "status": "running"})
    await running.create_execution({"job_id": "gone", "status": "running"})
    live = await running.take_lease("leased", holder="a", ttl=60)
    over, gone = [await running.take_lease(job, holder="b", ttl=0.1) for job in ("over", "gone")]
    await running.mark_execution_completed("over", lease=over)
    await running.delete("gone")
    await until_expired(running, gone)
    before = await ledger.events(engine)
    reaped = await running.reap_expired_leases()
    assert sorted((each.key, each.status) for each in reaped) == [("gone", None), ("over", None)]
    assert await ledger.events(engine) == before
    assert await leases(engine) == {live.id: (1, "a")}


async def test_the_reaper_works_page_by_page_on_its_own_ledger_up_to_a_limit(session: AsyncSession) -> None:
    for name in ("mine", "other"):
        unit = ExecutionRepository(session, ledger=name, commit=False)
        for number in range(120 if name == "mine" else 1):
            await unit.create_execution({"job_id": f"{number}"})
            lease = await unit.take_lease(f"{number}", holder="a", ttl=0.1)
        await session.commit()
    mine, other = (ExecutionRepository(session, ledger=name) for name in ("mine", "other"))
    await until_expired(mine, lease)
    assert len(await mine.reap_expired_leases(limit=3)) == 3
    assert len(await mine.reap_expired_leases(limit=110)) == 110
    assert len(await mine.reap_expired_leases()) == 7
    assert {row.status for row in await mine.get_all()} == {"failed"}
    assert {row.status for row in await other.get_all()} == {"pending"}
    assert len(await other.reap_expired_leases()) == 1


async def test_a_reaper_in_the_callers_transaction_commits_nothing(
    running: ExecutionRepository, session: AsyncSession, engine: AsyncEngine
) -> None:
    lease = await running.take_lease("job", holder="a", ttl=0.1)
    await until_expired(running, lease)
    unit = ExecutionRepository(session, commit=False)
    for commit in (False, True):
        await unit.add_note("job", "flushed before")
        (reaped,) = await unit.reap_expired_leases()
        assert reaped.status == "failed"
        await (session.commit() if commit else session.rollback())
        assert await ledger.types(engine) == ["created", *(["noted", "failed"] if commit else [])]


async def test_a_lease_that_cannot_be_reaped_keeps_no_other_from_it(
    running: ExecutionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await running.create_execution({"job_id": f"{number}"})
        lease = await running.take_lease(f"{number}", holder="a", ttl=0.1)
    await until_expired(running, lease)
    reap_one = reaper.reap

    def fail(connection: Any, leases_: Any, found: Expired, context: Any) -> Any:
        if found.execution_id == lease.execution_id:
            raise LedgerBusy(problem="p", remedy="r")
        return reap_one(connection, leases_, found, context)

    monkeypatch.setattr(reaper, "reap", fail)
    with pytest.raises(LedgerBusy):
        await running.reap_expired_leases()
    statuses = {row.job_id: row.status for row in await running.get_all()}
    assert statuses == {"job": "running", **dict.fromkeys("0123", "failed"), "4": "pending"}


async def test_a_reaper_has_the_name_that_its_repository_has(running: ExecutionRepository, engine: AsyncEngine) -> None:
    lease = await running.take_lease("job", holder="a", ttl=0.1)
    await until_expired(running, lease)
    watch = ExecutionRepository(running.session, actor="night watch", correlation_id="pass 7")
    assert len(await watch.reap_expired_leases()) == 1
    failed = (await ledger.events(engine))[-1]
    assert (failed.actor, failed.correlation_id, failed.reason) == ("night watch", "pass 7", "its lease expired")


async def test_the_expiry_is_looked_at_again_when_the_run_is_ended(
    running: ExecutionRepository, sessions: Sessions, engine: AsyncEngine
) -> None:
    """Between finding an expired lease and ending its run, its worker comes back."""
    store = EventStore()
    first = await running.take_lease("job", holder="a", ttl=0.1)
    await until_expired(running, first)

    async def find() -> list[Expired]:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda each: Leases(store).find_expired(each))

    async def end(lease: Expired) -> Any:
        async with engine.begin() as connection:
            return await connection.run_sync(lambda each: reap(each, Leases(store), lease, Context()))

    (found,) = await find()
    assert found == ("default", first.execution_id, first.token)
    await running.renew_lease(first, ttl=60)
    assert await end(found) is None
    second = await running.take_lease("job", holder="a", ttl=0.1)
    await until_expired(running, second)
    assert await end(found) is None, "that is another lease"
    await running.release_lease(second)
    assert await end(found) is None
    assert await end(found._replace(token=second.token)) is None
    assert await ledger.types(engine) == ["created"]


@pytest.mark.store("postgresql")  # a SQLite file is of one machine, and has one clock
async def test_two_machines_an_hour_apart_agree_on_who_is_live(
    running: ExecutionRepository, sessions: Sessions, engine: AsyncEngine
) -> None:
    async with sessions() as one, sessions() as other:
        fast = ExecutionRepository(one, store=EventStore(clock=Clock(HOUR)))
        slow = ExecutionRepository(other, store=EventStore(clock=Clock(-HOUR)))
        lease = await slow.take_lease("job", holder="slow", ttl=30)
        assert abs(lease.taken_at - datetime.now(UTC)) < timedelta(minutes=1), "by the database's clock"
        assert await fast.reap_expired_leases() == []
        with pytest.raises(LeaseHeld):
            await fast.take_lease("job", holder="fast")
        await slow.renew_lease(lease, ttl=30)
        assert await fast.reap_expired_leases() == []
        await slow.release_lease(lease)
        lease = await fast.take_lease("job", holder="fast", ttl=0.1)
        await fast.add_note("job", "an hour ahead", lease=lease)
        await until_expired(running, lease)
        await slow.add_note("job", "an hour behind", lease=lease)  # nobody has taken it away yet
        (reaped,) = await slow.reap_expired_leases()
        assert reaped.status == "failed"
        late = await fast.mark_execution_completed("job", 1, lease=lease)
        assert late is not None
        assert late.late_outcome["result"] == 1
    times = [each.recorded_at for each in await ledger.events(engine)]
    assert times == sorted(times)
    assert times[1] - times[0] > HOUR * 0.9
    row = await running.get("job")
    assert row is not None
    assert row.completed_at == times[2], "no earlier than the last that was known"


async def test_a_clock_that_jumps_back_ends_no_live_run_and_keeps_the_order(
    sessions: Sessions, engine: AsyncEngine, database: Database
) -> None:
    clock = Clock()
    async with sessions() as session:
        repository = ExecutionRepository(session, store=EventStore(clock=clock))
        await repository.create_execution({"job_id": "job", "status": "running"})
        lease = await repository.take_lease("job", holder="a", ttl=0.1)
        clock.off = -HOUR
        lease = await repository.renew_lease(lease, ttl=0.1)
        await repository.add_note("job", "an hour ago", lease=lease)
        second = await repository.take_lease("job", holder="a", ttl=0.1)
        assert (lease.token, second.token) == (1, 2)
        assert second.expires_at > second.taken_at
        await until_expired(repository, second)
        (reaped,) = await repository.reap_expired_leases()
        assert reaped.at >= second.expires_at
        row = await repository.get("job")
        assert row is not None
        assert row.completed_at >= row.started_at
    times = [each.recorded_at for each in await ledger.events(engine)]
    assert times == sorted(times)
    audit(database.url)


@pytest.mark.store("sqlite")
async def test_a_clock_that_jumps_back_on_sqlite_makes_a_lease_last_longer_and_never_shorter(
    running: ExecutionRepository, sessions: Sessions
) -> None:
    clock = Clock()
    async with sessions() as session:
        repository = ExecutionRepository(session, store=EventStore(clock=clock))
        await repository.take_lease("job", holder="a", ttl=0.1)
        clock.off = -HOUR
        assert await repository.reap_expired_leases() == []
        with pytest.raises(LeaseHeld):
            await repository.take_lease("job", holder="b")
        clock.off = HOUR
        assert len(await repository.reap_expired_leases()) == 1


async def test_a_lease_is_taken_with_the_execution_in_one_transaction(
    session: AsyncSession, sessions: Sessions, engine: AsyncEngine
) -> None:
    unit = ExecutionRepository(session, commit=False)
    await unit.create_execution({"job_id": "job"})
    await unit.transition("job", "started")
    lease = await unit.take_lease("job", holder="a", ttl=60)
    await unit.add_note("job", "under way", lease=lease)
    await session.rollback()
    assert await ledger.types(engine) == []
    assert await leases(engine) == {}
    await unit.create_execution({"job_id": "job"})
    lease = await unit.take_lease("job", holder="a", ttl=60)
    await unit.add_note("job", "under way", lease=lease)
    with pytest.raises(LeaseLost):
        await unit.add_note("job", "not mine", lease=lease.token + 1)
    await session.commit()
    assert await ledger.types(engine) == ["created", "noted"]
    assert await leases(engine) == {1: (1, "a")}


@pytest.mark.store("postgresql")  # on SQLite, a transaction that read cannot write after another one did
@pytest.mark.parametrize("leased", [False, True])
async def test_what_was_decided_before_a_lease_was_taken_is_decided_again(
    running: ExecutionRepository, sessions: Sessions, engine: AsyncEngine, leased: bool
) -> None:
    first = await running.take_lease("job", holder="a", ttl=60)
    async with sessions() as session:
        unit = ExecutionRepository(session, commit=False)
        await unit.update_execution("job", {"progress": 0.5}, lease=first if leased else None)
        await running.take_lease("job", holder="a", ttl=60)
        if leased:
            with pytest.raises(LeaseLost):
                await session.commit()
            await session.rollback()
        else:
            await session.commit()
    assert await ledger.types(engine) == (["created"] if leased else ["created", "progressed"])


async def test_a_process_that_remembers_an_older_token_is_fenced_all_the_same(
    running: ExecutionRepository, database: Database, engine: AsyncEngine
) -> None:
    """Its memory says that the token is the newest one; the append's guard knows better."""
    elsewhere = create_engine(database.url)
    async with AsyncSession(elsewhere) as session:
        worker = ExecutionRepository(session)
        lease = await worker.take_lease("job", holder="a", ttl=60)
        await worker.add_note("job", "remembered", lease=lease)
        await running.take_lease("job", holder="a", ttl=60)
        with pytest.raises(LeaseLost):
            await worker.add_note("job", "stale", lease=lease)
        await worker.add_note("job", "without")
    await elsewhere.dispose()
    assert await ledger.types(engine) == ["created", "noted", "noted"]


async def test_a_group_of_commands_is_fenced_one_by_one(
    running: ExecutionRepository, database: Database, sessions: Sessions, engine: AsyncEngine
) -> None:
    await running.create_execution({"job_id": "other", "status": "running"})
    old = await running.take_lease("job", holder="a", ttl=60)
    other = await running.take_lease("other", holder="a", ttl=0.1)
    new = await running.take_lease("job", holder="a", ttl=60)
    await until_expired(running, other)
    assert len(await running.reap_expired_leases()) == 1

    async with GroupWriter(database.url) as writer, sessions() as session:
        repository = ExecutionRepository(session, writer=writer)
        for _ in range(2):  # at the second time, all of them go into one transaction
            told = await asyncio.gather(
                repository.add_note("job", "stale", lease=old),
                repository.add_note("job", "mine", lease=new),
                repository.add_note("job", "anybody's"),
                repository.mark_execution_completed("other", 1, lease=other),
                return_exceptions=True,
            )
            assert [type(each).__name__ for each in told] == ["LeaseLost", *["ExecutionHistory"] * 3]
        held = await repository.take_lease("job", holder="a", ttl=60)
        await repository.add_note("job", "mine again", lease=held)
        assert await repository.release_lease(held)
    notes = [json.loads(each.data)["text"] for each in await ledger.events(engine) if each.type == "execution.noted"]
    assert sorted(notes) == ["anybody's", "anybody's", "mine", "mine", "mine again"]


async def test_an_expected_version_still_counts(running: ExecutionRepository) -> None:
    lease = await running.take_lease("job", holder="a", ttl=60)
    with pytest.raises(VersionConflict):
        await running.add_note("job", "n", lease=lease, expected_version=7)
    assert (await running.add_note("job", "n", lease=lease, expected_version=1)) is not None


async def test_of_many_takers_at_once_one_gets_the_lease(running: ExecutionRepository, sessions: Sessions) -> None:
    async def take(name: str) -> Lease | None:
        async with sessions() as session:
            try:
                return await ExecutionRepository(session).take_lease("job", holder=name, ttl=60)
            except LeaseHeld:
                return None

    taken = await asyncio.gather(*(take(str(uuid4())) for _ in range(8)))
    (lease,) = [each for each in taken if each is not None]
    assert lease.token == 1


@pytest.mark.store("postgresql")
async def test_a_reaper_waits_for_nobody(running: ExecutionRepository, sessions: Sessions, engine: AsyncEngine) -> None:
    await running.create_execution({"job_id": "other", "status": "running"})
    leases_ = [await running.take_lease(job, holder="a", ttl=0.1) for job in ("job", "other")]
    await until_expired(running, leases_[-1])
    for table in (execution_streams, execution_leases):
        async with sessions() as session:
            await session.execute(
                select(table).where(table.c.execution_id == leases_[0].execution_id).with_for_update()
            )
            await running.reap_expired_leases()
            row = await running.get("job")
            assert row is not None
            assert row.status == "running", "somebody is at work on it this moment"
    other = await running.get("other")
    assert other is not None
    assert other.status == "failed"
    assert [each.key for each in await running.reap_expired_leases()] == ["job"]


@pytest.mark.store("postgresql")
async def test_a_renewal_that_arrives_late_shortens_nothing(
    running: ExecutionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await running.take_lease("job", holder="a", ttl=30)
    now = Leases.now

    def an_hour_ago(self: Leases, connection: Any) -> datetime:
        return now(self, connection) - timedelta(hours=1)

    with monkeypatch.context() as patched:  # it read the clock, and was then stuck on its way
        patched.setattr(Leases, "now", an_hour_ago)
        await running.renew_lease(lease, ttl=30)
    assert await running.reap_expired_leases() == []
