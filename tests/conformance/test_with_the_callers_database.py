"""The ledger beside the caller's own tables, hooks, roles and transactions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from execution_ledger.domain import CommandIdReused, EventMissing
from execution_ledger.infrastructure import ExecutionRepository, check_schema
from execution_ledger.projections import LedgerQueries
from support import Database, ledger

Sessions = async_sessionmaker[AsyncSession]
GUIDE = Path(__file__).parents[2] / "docs" / "operating.md"


async def test_a_committing_call_goes_in_one_append_with_what_waits_on_the_session(
    sessions: Sessions, engine: AsyncEngine
) -> None:
    appends: list[str] = []
    async with sessions() as session:
        waiting, committing = ExecutionRepository(session, commit=False), ExecutionRepository(session)
        await committing.create({"job_id": "a"})
        await committing.create({"job_id": "b"})
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *args: appends.append(args[2]))
        await waiting.update_execution("a", {"message": "waits"})
        created = await committing.create({"job_id": "c"})
    assert sum("UPDATE ledgers" in statement for statement in appends) == 1
    assert created.id == 3
    assert await ledger.types(engine) == ["created", "created", "details_changed", "created"]


@pytest.mark.store("postgresql")
async def test_a_hook_of_the_callers_session_holds_for_the_append_too(engine: AsyncEngine) -> None:
    class Tenant(Session):
        pass

    @event.listens_for(Tenant, "after_begin")
    def say_who(_: Session, __: Any, connection: Any) -> None:
        connection.execute(text("SET LOCAL app.tenant = 'acme'"))

    async with engine.begin() as connection:
        for statement in (
            "CREATE TABLE seen (tenant text)",
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO seen VALUES (current_setting('app.tenant', true)); RETURN NEW; END $$",
            "CREATE TRIGGER look AFTER INSERT ON execution_events FOR EACH ROW EXECUTE FUNCTION look()",
        ):
            await connection.execute(text(statement))
    async with async_sessionmaker(engine, sync_session_class=Tenant)() as session:
        await ExecutionRepository(session).create({"job_id": "job"})
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT tenant FROM seen"))).scalars().all() == ["acme"]


@pytest.mark.store("postgresql")
async def test_a_role_with_the_grants_of_the_guide_can_do_its_work_and_no_more(engine: AsyncEngine) -> None:
    grants = re.findall(r"^    (GRANT .*);$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(grants) == 4
    role = f"ledger_writer_{engine.url.database}"
    async with engine.begin() as connection:
        for statement in (f'CREATE ROLE "{role}"', *(grant.replace("ledger_writer", f'"{role}"') for grant in grants)):
            await connection.execute(text(statement))
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f'SET ROLE "{role}"'))
            await connection.commit()
            async with AsyncSession(connection, expire_on_commit=False) as session:
                await connection.run_sync(check_schema)
                repository = ExecutionRepository(session)
                created = await repository.create({"job_id": "job"}, command_id="c1")
                await repository.start_step(created.id, "s")
                await repository.finish_step(created.id, "s")
                await repository.mark_execution_completed(created.id, {"rows": 1})
                assert await repository.delete(created.id)
                assert (await LedgerQueries(session).root()).size == 5
            for refused in ("UPDATE execution_events SET actor = 'me'", "DELETE FROM execution_events"):
                with pytest.raises(DBAPIError, match="permission denied"):
                    await connection.execute(text(refused))
                await connection.rollback()
            await connection.execute(text("RESET ROLE"))
            await connection.commit()
    finally:
        async with engine.begin() as connection:
            await connection.execute(text(f'DROP OWNED BY "{role}"'))
            await connection.execute(text(f'DROP ROLE "{role}"'))


async def test_a_root_is_not_given_for_a_ledger_with_a_hole(
    database: Database, sessions: Sessions, engine: AsyncEngine
) -> None:
    async with sessions() as session:
        repository = ExecutionRepository(session)
        for _ in range(3):
            await repository.create({})
    off = "ALTER TABLE execution_events DISABLE TRIGGER USER"
    async with engine.begin() as connection:
        await connection.execute(text("DROP TRIGGER execution_events_no_delete" if database.kind == "sqlite" else off))
        await connection.execute(text("DELETE FROM execution_events WHERE position = 2"))
    async with sessions() as session:
        queries = LedgerQueries(session)
        assert (await queries.root(1)).size == 1
        with pytest.raises(EventMissing) as refused:
            await queries.root()
    assert (refused.value.position, refused.value.size) == (2, 3)


async def test_a_command_is_the_same_however_its_entity_is_named_and_its_keys_are_ordered(sessions: Sessions) -> None:
    async with sessions() as session:
        repository = ExecutionRepository(session)
        first = await repository.create({"job_id": "job", "inputs": {"a": 1, "b": 2}}, command_id="c0")
        again = await repository.create({"inputs": {"b": 2, "a": 1}, "job_id": "job"}, command_id="c0")
        assert (again.id, again.version) == (first.id, 1)
        for target in (1, "job"):
            assert (await repository.update_execution(target, {"message": "m"}, command_id="c1")).version == 2
        await repository.create({"job_id": "other"})
        for target in (2, "other"):
            with pytest.raises(CommandIdReused):
                await repository.update_execution(target, {"message": "m"}, command_id="c1")


async def test_a_repeated_command_is_answered_as_the_first_time_inside_a_unit_of_work_too(sessions: Sessions) -> None:
    async with sessions() as session:
        unit = ExecutionRepository(session, commit=False)
        await unit.create({"job_id": "job"}, command_id="c0")
        await unit.update_execution("job", {"status": "running"})
        for _ in range(2):
            again = await unit.create({"job_id": "job"}, command_id="c0")
            assert (again.status, again.version) == ("pending", 1)
            await session.commit()
