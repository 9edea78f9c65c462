"""The old repository answers, the ledger follows, and what differs is told; nothing of the ledger's troubles is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.seed_repository import SeedBase, SeedHistory, SeedRepository
from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository, create_engine, create_schema
from execution_ledger.infrastructure.moving import Mismatch, Shadow, ShadowRepository


class OldRepository(SeedRepository):
    """The seed's, whole."""

    async def get(self, id: int) -> SeedHistory | None:
        return await self.session.get(SeedHistory, id)

    async def get_all(self) -> list[SeedHistory]:
        return list((await self.session.execute(select(SeedHistory))).scalars())

    async def create(self, data: dict[str, Any]) -> SeedHistory:
        return await self.create_execution(data)

    async def update(self, id: int, data: dict[str, Any]) -> SeedHistory | None:
        return await self.update_execution(id, data)

    async def delete(self, id: int) -> bool:
        done = await self.session.execute(delete(SeedHistory).where(SeedHistory.id == id))
        await self.session.commit()
        return bool(done.rowcount)  # type: ignore[attr-defined]

    async def get_execution_by_job_id(self, job_id: str) -> SeedHistory | None:
        return (await self.session.execute(select(SeedHistory).where(SeedHistory.job_id == job_id))).scalars().first()

    async def mark_execution_completed(self, execution_id: int, result: Any = None) -> SeedHistory | None:
        data: dict[str, Any] = {"status": "completed", "completed_at": datetime.now(UTC)}
        return await self.update_execution(execution_id, data | ({"result": result} if result else {}))

    async def mark_execution_failed(self, execution_id: int, error: str) -> SeedHistory | None:
        data = {"status": "FAILED", "completed_at": datetime.now(UTC), "error": error}
        return await self.update_execution(execution_id, data)

    async def retire(self) -> str:
        return "a method of the old repository's own"


@pytest.fixture
async def old_session(tmp_path: Path) -> AsyncIterator[AsyncSession]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/old.db")
    async with engine.begin() as connection:
        await connection.run_sync(SeedBase.metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
    await engine.dispose()


@pytest.fixture
def found() -> list[Mismatch]:
    return []


@pytest.fixture
def shadow(engine: AsyncEngine, found: list[Mismatch]) -> Shadow:
    return Shadow(engine, actor="shadow", on_mismatch=found.append)


@pytest.fixture
def runs(shadow: Shadow, old_session: AsyncSession) -> ShadowRepository:
    return shadow.over(OldRepository(old_session))


async def test_both_have_the_same_after_each_call(
    runs: ShadowRepository,
    shadow: Shadow,
    found: list[Mismatch],
    old_session: AsyncSession,
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    first = await runs.create_execution({"job_id": "a", "inputs": {"n": 1}, "run_name": "r"})
    second = await runs.create({"job_id": "b", "status": "RUNNING"})
    third = await runs.create_execution({"job_id": "c"})
    assert [type(each) for each in (first, second, third)] == [SeedHistory] * 3
    await runs.update_execution(first.id, {"status": "running", "message": "m"})
    await runs.update(first.id, {"result": {"rows": 1}})
    await runs.mark_execution_completed(first.id, {"rows": 2})
    await runs.mark_execution_failed(second.id, "it broke")
    assert await runs.update_execution(99, {"message": "m"}) is None
    assert await runs.delete(third.id)
    assert not await runs.delete(99)
    assert (await runs.get(first.id)).status == "completed"
    assert await runs.get(99) is None
    assert (await runs.get_execution_by_job_id("b")).error == "it broke"
    assert [each.id for each in await runs.get_all()] == [1, 2]
    page, total = await runs.get_execution_history(limit=1)
    assert ([each.id for each in page], total) == ([2], 2)
    assert await runs.retire() == "a method of the old repository's own"
    assert found == []
    assert (shadow.compared, shadow.mismatches) == (15, 0)
    async with sessions() as session:
        ours = await ExecutionRepository(session).get_all()
    assert [(each.id, each.job_id, each.status, each.result) for each in ours] == [
        (1, "a", "completed", {"rows": 2}),
        (2, "b", "failed", None),
    ]


async def test_what_differs_is_told(
    runs: ShadowRepository,
    shadow: Shadow,
    found: list[Mismatch],
    old_session: AsyncSession,
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    run = await runs.create_execution({"job_id": "a"})
    await old_session.execute(update(SeedHistory).values(message="past the repository"))
    await old_session.commit()
    await old_session.refresh(run)
    await runs.get(run.id)
    assert found == [Mismatch("get", 1, "message", "past the repository", None)]
    found.clear()
    # An end that is overwritten: what the old repository lets pass, and the ledger does not.
    await runs.mark_execution_completed(run.id)
    found.clear()
    again = await runs.update_execution(run.id, {"status": "running", "completed_at": None})
    assert again.status == "running"
    [told] = found
    assert (told.operation, told.id, told.primary) == ("update_execution", 1, "done")
    assert str(told.ledger).startswith("IllegalTransition: Execution 'a' is completed: it cannot become running")
    found.clear()
    async with sessions() as session:
        await ExecutionRepository(session).create_execution({"job_id": "only in the ledger"})
    await runs.get_execution_history()
    assert found == [
        Mismatch("get_execution_history", None, "total", 1, 2),
        Mismatch("get_execution_history", None, "ids", [1], [2, 1]),
    ]
    assert shadow.mismatches == 5


async def test_what_the_ledger_does_not_know_yet_is_adopted(
    runs: ShadowRepository, found: list[Mismatch], old_session: AsyncSession, sessions: async_sessionmaker[AsyncSession]
) -> None:
    before = await OldRepository(old_session).create_execution({"job_id": "before", "status": "running"})
    await runs.mark_execution_completed(before.id, {"rows": 2})
    assert found == []
    async with sessions() as session:
        ours = await ExecutionRepository(session).get(before.id)
    assert ours is not None
    assert (ours.job_id, ours.status, ours.result) == ("before", "completed", {"rows": 2})


async def test_a_ledger_that_does_not_answer_is_no_trouble_of_the_callers(
    old_session: AsyncSession, found: list[Mismatch], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/nowhere/ledger.db")
    shadow = Shadow(engine)
    runs = shadow.over(OldRepository(old_session))
    run = await runs.create_execution({"job_id": "a"})
    assert (await runs.mark_execution_completed(run.id)).status == "completed"
    assert (shadow.compared, shadow.mismatches) == (2, 2)
    assert [record.name for record in caplog.records] == ["execution_ledger.shadow"] * 2
    assert "unable to open database file" in caplog.text
    await engine.dispose()


async def test_what_watches_and_what_stalls_is_no_trouble_of_the_callers(
    engine: AsyncEngine, old_session: AsyncSession, tmp_path: Path
) -> None:
    def fail(_: Mismatch) -> None:
        raise RuntimeError("the watcher's own trouble")

    stalled = create_engine(f"sqlite:///{tmp_path}/stalled.db")
    async with stalled.begin() as connection:
        await connection.run_sync(create_schema)
    async with stalled.connect() as holder:
        await holder.exec_driver_sql("BEGIN EXCLUSIVE")
        shadow = Shadow(stalled, timeout=0.1, on_mismatch=fail)
        run = await shadow.over(OldRepository(old_session)).create_execution({"job_id": "a"})
        assert (run.job_id, shadow.mismatches) == ("a", 1)
    await stalled.dispose()


async def test_labels_follow_after_the_end(runs: ShadowRepository, found: list[Mismatch]) -> None:
    run = await runs.create_execution({"job_id": "a"})
    await runs.mark_execution_completed(run.id)
    await runs.update_execution(run.id, {"message": "looked at"})
    assert found == []


async def test_columns_that_are_no_field_follow(engine: AsyncEngine, found: list[Mismatch]) -> None:
    class Run:
        def __init__(self, owner: str) -> None:
            self.id, self.job_id, self.status, self.owner = 7, "a", "pending", owner
            self.created_at = datetime(2026, 1, 1)

    class Runs:
        async def create_execution(self, data: dict[str, Any]) -> Run:
            return Run(data["owner"])

        update_execution = staticmethod(lambda id, data: Runs().create_execution(data))

        async def get(self, id: int) -> Run:
            return Run("past the repository")

    runs = Shadow(engine, on_mismatch=found.append).over(Runs())
    await runs.create_execution({"owner": "ada"})
    await runs.update_execution(7, {"owner": "bob"})
    assert found == []
    await runs.get(7)
    assert found == [Mismatch("get", 7, "attributes", {"owner": "past the repository"}, {"owner": "bob"})]


async def test_names_are_mapped(engine: AsyncEngine, found: list[Mismatch]) -> None:
    class Run:
        def __init__(self, **values: Any) -> None:
            vars(self).update(values)

    class Runs:
        async def create_execution(self, data: dict[str, Any]) -> Run:
            return Run(id=7, uuid="a", state="QUEUED", created_at=datetime(2026, 1, 1), cost=3)

        async def update_execution(self, id: int, data: dict[str, Any]) -> Run:
            return Run(id=7, uuid="a", state=data["state"], created_at=datetime(2026, 1, 1), cost=3)

    shadow = Shadow(
        engine,
        fields={"job_id": "uuid", "status": "state"},
        statuses={"queued": "pending", "GOING": "running"},
        on_mismatch=found.append,
    )
    runs = shadow.over(Runs())
    await runs.create_execution({"state": "QUEUED"})
    await runs.update_execution(7, {"state": "GOING"})
    async with AsyncSession(engine) as session:
        run = await session.get(ExecutionHistory, ("default", 7))
        assert run is not None
        assert (run.job_id, run.status, run.attributes) == ("a", "running", {"cost": 3})
    assert found == []
