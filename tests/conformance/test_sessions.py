"""Sessions of all kinds: from engines of ours and of the caller's own, idle or in the middle of a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from execution_ledger.domain import DuplicateJobId, EngineNotConfigured, IllegalTransition, VersionConflict
from execution_ledger.infrastructure import ExecutionRepository, configure_sqlite, create_engine
from support import Database, ledger


class TheirBase(DeclarativeBase):
    pass


class Invoice(TheirBase):
    """A row of the caller's own."""

    __tablename__ = "invoices"
    number: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(params=["ours", "theirs", "theirs with another driver or without a pool"])
async def any_engine(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[AsyncEngine]:
    """An engine with one connection, so that whatever one session leaves behind meets the next one."""
    one = {"pool_size": 1, "max_overflow": 0}
    if request.param == "ours":
        engine = create_engine(database.url, **one)
    elif request.param == "theirs":
        engine = create_async_engine(database.url, **one)
        configure_sqlite(engine)
    elif database.kind == "postgresql":
        engine = create_async_engine(database.url.replace("+psycopg", "+asyncpg"), **one)
    else:
        engine = create_async_engine(database.url, poolclass=NullPool)
        configure_sqlite(engine)
    async with engine.begin() as connection:
        await connection.run_sync(TheirBase.metadata.create_all)
    yield engine
    await engine.dispose()


async def invoices(engine: AsyncEngine) -> list[int]:
    return [row.number for row in await ledger.rows(engine, select(Invoice.number).order_by(Invoice.number))]


@pytest.mark.parametrize("commit", [True, False])
async def test_every_call_works_on_any_engine(any_engine: AsyncEngine, commit: bool) -> None:
    async with AsyncSession(any_engine) as session:
        repository = ExecutionRepository(session, commit=commit, actor="ada", occurred_at="2026-01-31T12:00:00Z")
        inputs = {"é": [1.5, None]}
        await repository.create({"job_id": "job", "inputs": inputs, "attributes": {"k": 1}}, command_id="c0")
        await repository.create({"created_at": "2026-01-31T12:00:00Z", "run_name": "r"})
        await session.commit()
        await repository.update_execution(1, {"status": "running", "progress": 0.5}, expected_version=1)
        await repository.start_step("job", "outer", kind="task")
        await repository.start_step("job", "inner", parent_step_id="outer", started_at="2026-01-31T12:00:00Z")
        await repository.finish_step("job", "inner", result={"rows": 3})
        await repository.add_note("job", "line", step_id="outer", data=[1], command_id="c1")
        await repository.add_note("job", "line", step_id="outer", data=[1], command_id="c1")
        await repository.mark_execution_completed("job", {"rows": 3})
        await repository.report_late_outcome("job", "failed", error="late")
        await repository.correct_execution("job", {"message": "m"}, reason="r")
        await repository.delete(2)
        await session.commit()
        with pytest.raises(DuplicateJobId):
            await repository.create({"job_id": "job"})
        with pytest.raises(IllegalTransition):
            await repository.mark_execution_failed("job", "e")
        row = await repository.get_execution_by_job_id("job")
        assert (row.status, row.result, row.inputs, row.version) == ("completed", {"rows": 3}, inputs, 9)
        executions, total = await repository.get_execution_history(
            status=["completed"], attributes={"k": 1}, created_from="2026-01-01", job_id_prefix="j"
        )
        assert ([each.id for each in executions], total) == ([1], 1)
        assert (await repository.get_execution_page(1, (await repository.get_execution_page(1)).next_cursor)).executions
    await ledger.check_all(any_engine)


async def test_a_sqlite_engine_that_nobody_prepared_is_refused_with_the_remedy(database: Database) -> None:
    engine = create_async_engine(database.url)
    async with AsyncSession(engine) as session:
        for commit in (True, False):
            repository = ExecutionRepository(session, commit=commit)
            if database.kind == "postgresql":
                await repository.create({})
                continue
            for write in (
                repository.create({}),
                repository.update_execution(1, {"message": "m"}),
                repository.delete(1),
            ):
                with pytest.raises(EngineNotConfigured, match="configure_sqlite") as refused:
                    await write
                assert "foreign_keys" in refused.value.missing
            assert await repository.get_execution_history() == ([], 0)
    await engine.dispose()


@pytest.mark.parametrize("rolled_back_after", ["a write", "a refusal", "a replayed command", "a missing id", "a read"])
async def test_after_a_write_of_ours_the_callers_next_transaction_can_be_rolled_back(
    any_engine: AsyncEngine, rolled_back_after: str
) -> None:
    async def act(session: AsyncSession) -> None:
        repository = ExecutionRepository(session)
        if rolled_back_after == "a write":
            await repository.create({})
        elif rolled_back_after == "a refusal":
            with pytest.raises(VersionConflict):
                await repository.update_execution(1, {"message": "m"}, expected_version=9)
        elif rolled_back_after == "a replayed command":
            await repository.add_note(1, "n", command_id="c1")
            await repository.add_note(1, "n", command_id="c1")
        elif rolled_back_after == "a missing id":
            assert await repository.update_execution(99, {"message": "m"}) is None
        else:
            await repository.get(1)

    async with AsyncSession(any_engine) as session:
        await ExecutionRepository(session).create({"job_id": "job"})
    for _ in range(2):  # the second session gets the connection that the first one gave back
        async with AsyncSession(any_engine) as session:
            await act(session)
            session.add(Invoice(number=1))
            await session.flush()
            await session.rollback()
            await session.execute(text("INSERT INTO invoices VALUES (2)"))
            await session.rollback()
    assert await invoices(any_engine) == []


async def test_a_write_of_ours_commits_the_callers_rows_together_with_the_event(any_engine: AsyncEngine) -> None:
    async with AsyncSession(any_engine) as session:
        session.add(Invoice(number=1))
        await ExecutionRepository(session).create({"job_id": "not yet flushed"})
        session.add(Invoice(number=2))
        await session.flush()
        await ExecutionRepository(session).create({"job_id": "already flushed"})
        await session.rollback()
    assert await invoices(any_engine) == [1, 2]
    assert await ledger.types(any_engine) == ["created", "created"]


async def test_a_refusal_of_ours_leaves_the_callers_transaction_to_the_caller(any_engine: AsyncEngine) -> None:
    async with AsyncSession(any_engine) as session:
        repository = ExecutionRepository(session)
        await repository.create({"job_id": "job"})
        for number, finish in ((1, session.rollback), (2, session.commit)):
            session.add(Invoice(number=number))
            await session.flush()
            for attempt in (
                repository.create({"job_id": "job"}),
                repository.create({"job_id": "job"}, command_id="c1"),
                repository.transition(1, "approved"),
            ):
                with pytest.raises((DuplicateJobId, IllegalTransition)):
                    await attempt
            await finish()
    assert await invoices(any_engine) == [2]
    assert await ledger.types(any_engine) == ["created"]


@pytest.mark.parametrize("committed", [True, False])
async def test_a_unit_of_work_and_the_callers_rows_share_their_fate(any_engine: AsyncEngine, committed: bool) -> None:
    async with AsyncSession(any_engine) as session:
        unit = ExecutionRepository(session, commit=False)
        session.add(Invoice(number=1))
        await unit.create({"job_id": "job"})
        await session.flush()
        await unit.update_execution("job", {"status": "running"})
        session.add(Invoice(number=2))
        await (session.commit() if committed else session.rollback())
    assert await invoices(any_engine) == ([1, 2] if committed else [])
    assert await ledger.types(any_engine) == (["created", "started"] if committed else [])


async def test_a_failure_of_the_callers_rows_takes_the_unit_of_work_with_it(any_engine: AsyncEngine) -> None:
    async with AsyncSession(any_engine) as session:
        session.add(Invoice(number=1))
        await session.commit()
        await ExecutionRepository(session, commit=False).create({"job_id": "job"})
        await session.execute(select(Invoice))
        session.expunge_all()
        session.add(Invoice(number=1))
        with pytest.raises(Exception, match=r"(?i)unique"):
            await session.commit()
        await session.rollback()
        await session.commit()
    assert await ledger.events(any_engine) == []


async def test_a_session_on_a_connection_with_a_transaction_around_it_is_undone_with_that(
    any_engine: AsyncEngine,
) -> None:
    # How many test suites isolate their tests.
    async with any_engine.connect() as connection:
        outer = await connection.begin()
        sessions = async_sessionmaker(bind=connection, join_transaction_mode="create_savepoint")
        async with sessions() as session:
            repository = ExecutionRepository(session)
            await repository.create({"job_id": "job"})
            await repository.update_execution(1, {"status": "running"})
            with pytest.raises(DuplicateJobId):
                await repository.create({"job_id": "job"})
            await ExecutionRepository(session, commit=False).create({"job_id": "other"})
            await session.commit()
            assert (await repository.get_execution_history())[1] == 2
        await outer.rollback()
    assert await ledger.events(any_engine) == []


async def test_what_the_caller_has_loaded_survives_a_refusal(any_engine: AsyncEngine) -> None:
    async with AsyncSession(any_engine, expire_on_commit=False) as session:
        session.add(Invoice(number=7))
        await session.commit()
        invoice = (await session.execute(select(Invoice))).scalar_one()
        await session.commit()
        repository = ExecutionRepository(session)
        await repository.create({"job_id": "job"})
        with pytest.raises(DuplicateJobId):
            await repository.create({"job_id": "job"})
        assert invoice in session
        assert invoice.number == 7, "no lazy load is needed, which an async session could not do"


async def test_one_session_can_write_many_times_and_read_in_between(any_engine: AsyncEngine) -> None:
    async with AsyncSession(any_engine) as session:
        repository = ExecutionRepository(session)
        for number in range(1, 6):
            created = await repository.create({})
            assert created.id == number
            assert (await repository.get_execution_history())[1] == number
            assert (await repository.update_execution(number, {"status": "running"})).status == "running"
    await ledger.check_all(any_engine)
