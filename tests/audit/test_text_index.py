"""Free text finds the same with the index as without, and where there can be none it says why and is scanned."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.infrastructure import create_engine, create_sync_engine
from execution_ledger.projections import AuditQueries, create_text_index, drop_text_index
from support import Database
from support.ledger import execute
from support.postgres import Server
from support.skewed import ROWS, fill, plans


@pytest.fixture
def full_url(postgres_server: Server, postgres_template: str) -> AsyncIterator[str]:
    url = postgres_server.create_database(postgres_template)
    fill(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def full_engine(full_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(full_url)
    yield engine
    await engine.dispose()


def test_sqlite_says_that_texts_are_scanned(database: Database, sync_engine: Engine) -> None:
    if database.kind == "sqlite":
        assert create_text_index(sync_engine) == (False, "SQLite has no index of free text; it is scanned")
        drop_text_index(sync_engine)


@pytest.mark.store("postgresql")
async def test_a_rare_phrase_is_found_by_the_index_and_a_common_one_where_the_page_begins(
    full_url: str, full_engine: AsyncEngine
) -> None:
    engine = create_sync_engine(full_url)
    async with AsyncSession(full_engine) as session:
        scanned = await AuditQueries(session).events(100, text="disk FULL", max_scan=None)
    assert len(scanned.events) == 60
    assert create_text_index(engine) == create_text_index(engine) == (True, None)
    execute(engine, "ANALYZE execution_events")
    async with AsyncSession(full_engine) as session:
        queries = AuditQueries(session)
        found = await queries.events(100, text="disk FULL")
        assert found.events == scanned.events
        assert found.complete
        assert found.scanned < 1_000 < scanned.scanned == ROWS
        assert (await queries.count(text="disk full")).number == 60
        first = await queries.events(3, text="disk FULL", newest_first=False)
        assert [each.event.position for each in first.events] == [2_000, 4_000, 6_000]
    plan = await plans(full_engine, lambda session: AuditQueries(session).events(100, text="disk full"), "WITH")
    assert " execution_events_text " in plan, plan
    assert "Seq Scan on execution_events" not in plan, plan
    drop_text_index(engine)
    async with AsyncSession(full_engine) as session:
        bounded = await AuditQueries(session).events(100, text="disk FULL", max_scan=1_000)
        assert (bounded.scanned, bounded.complete) == (1_000, False)
    engine.dispose()


@pytest.mark.store("postgresql")
def test_a_role_that_may_not_make_it_is_told_so_and_nothing_is_left(database: Database, sync_engine: Engine) -> None:
    role = f"reader_{make_url(database.url).database}"
    execute(
        sync_engine,
        f"CREATE ROLE {role} LOGIN PASSWORD 'p'",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    reader = create_sync_engine(
        make_url(database.url).set(username=role, password="p").render_as_string(hide_password=False)
    )
    made, problem = create_text_index(reader)
    assert not made
    assert problem is not None
    assert "free text is scanned" in problem
    with sync_engine.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('execution_events_text')")).scalar() is None
    reader.dispose()
    execute(sync_engine, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
