"""The schema that the tables declare is the schema that the migrations make, down to the catalogs of the database."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger import infrastructure
from execution_ledger.domain import InvalidInput, SchemaNotReady, SchemaTooNew, StoreUnavailable
from execution_ledger.infrastructure import (
    ExecutionHistory,
    ExecutionRepository,
    check_schema,
    create_engine,
    create_schema,
    create_sync_engine,
    migrate,
    migrate_engine,
)
from execution_ledger.infrastructure.schema import REVISIONS
from support import Database

NewDatabase = Callable[[], str]

TABLES = {
    "api_keys", "crud_imports", "execution_ledger_version", "command_receipts", "execution_events", "execution_history",
    "execution_leases", "execution_snapshots", "execution_steps", "execution_streams", "execution_time_marks",
    "ledgers", "projection_checkpoints", "projection_rebuilds", "quarantined_executions", "run_facts", "run_statistics",
    "webhook_dead_letters", "webhook_endpoints",
}  # fmt: skip

PUBLIC = "n.nspname = 'public'"
POSTGRESQL_CATALOG = {
    "tables": f"""
        SELECT c.relname, c.relkind, c.relpersistence, c.reloptions, c.relrowsecurity, a.amname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam
        WHERE {PUBLIC}""",
    "columns": f"""
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname,
            pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, a.attstorage, a.attstattarget,
            a.attoptions
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {PUBLIC} AND a.attnum > 0 AND NOT a.attisdropped""",
    "indexes": f"""
        SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisunique, i.indisprimary, i.indisvalid
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {PUBLIC}""",
    "constraints": f"""
        SELECT r.relname, c.conname, c.contype, pg_get_constraintdef(c.oid), c.convalidated, c.condeferrable
        FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = c.connamespace
        WHERE {PUBLIC}""",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal",
    "functions": f"""
        SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {PUBLIC}""",
    "types": f"""
        SELECT t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE {PUBLIC} AND t.typtype <> 'c' AND t.typcategory <> 'A'""",
    "version": "SELECT version_num FROM execution_ledger_version",
}


def catalog(url: str) -> dict[str, Any]:
    """All that the database knows of its schema."""
    engine = create_sync_engine(url)
    with engine.connect() as connection:
        found = _sqlite(connection) if engine.dialect.name == "sqlite" else _postgresql(connection)
    engine.dispose()
    return found


def _postgresql(connection: Connection) -> dict[str, Any]:
    return {
        name: sorted(repr(tuple(row)) for row in connection.execute(text(statement)))
        for name, statement in POSTGRESQL_CATALOG.items()
    }


def _sqlite(connection: Connection) -> dict[str, Any]:
    def ask(statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]

    found: dict[str, Any] = {
        f"{kind} {name}": re.sub(r"\s+", " ", sql or "").replace('"', "").replace("( ", "(").replace(" )", ")")
        for kind, name, sql in ask("SELECT type, name, sql FROM sqlite_master")
    }
    for (table,) in ask("SELECT name FROM sqlite_master WHERE type = 'table'"):
        found[f"columns {table}"] = ask(f"PRAGMA table_xinfo({table})")
        indexes = sorted(row[1:] for row in ask(f"PRAGMA index_list({table})"))
        found[f"indexes {table}"] = [(index, ask(f"PRAGMA index_xinfo({index[0]})")) for index in indexes]
    return found | {"version": ask("SELECT version_num FROM execution_ledger_version")}


@pytest.fixture
def new_database(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Empty databases, as many as one asks for."""
    made: list[str] = []

    def make() -> str:
        if store == "sqlite":
            made.append(f"sqlite:///{tmp_path}/{len(made)}.db")
        else:
            made.append(request.getfixturevalue("postgres_server").create_database())
        return made[-1]

    yield make
    for url in made if store == "postgresql" else ():
        request.getfixturevalue("postgres_server").drop_database(url)


@pytest.fixture
def new_engine(new_database: NewDatabase) -> Iterator[Engine]:
    engine = create_sync_engine(new_database())
    yield engine
    engine.dispose()


def declared(url: str) -> str:
    engine = create_sync_engine(url)
    create_schema(engine)
    engine.dispose()
    return url


def test_the_declared_schema_is_the_migrated_schema(new_database: NewDatabase) -> None:
    migrated = new_database()
    migrate(migrated)
    one, other = catalog(declared(new_database())), catalog(migrated)
    for part in one.keys() | other.keys():
        assert one.get(part) == other.get(part), part


def test_the_catalogs_tell_schemas_apart(new_database: NewDatabase, new_engine: Engine) -> None:
    create_schema(new_engine)
    same = catalog(declared(new_database()))
    url = new_engine.url.render_as_string(hide_password=False)
    sqlite = new_engine.dialect.name == "sqlite"
    trigger = "execution_events_no_delete" if sqlite else "execution_events_append_only ON execution_events"
    for change in (
        "CREATE INDEX more ON execution_events (ledger_id)",
        "DROP INDEX execution_events_actor",
        "ALTER TABLE ledgers ADD COLUMN more bigint",
        f"DROP TRIGGER {trigger}",
    ):
        before = catalog(url)
        with new_engine.begin() as connection:
            connection.execute(text(change))
        assert catalog(url) not in (before, same)


def test_both_ways_make_these_tables(new_database: NewDatabase, new_engine: Engine) -> None:
    create_schema(new_engine)
    sqlite = "SELECT name FROM sqlite_master WHERE type = 'table'"
    postgresql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    with new_engine.connect() as connection:
        found = connection.execute(text(sqlite if new_engine.dialect.name == "sqlite" else postgresql)).scalars().all()
    assert set(found) == TABLES


def test_migrating_twice_or_after_the_schema_was_created_changes_nothing(new_database: NewDatabase) -> None:
    for url in (new_database(), declared(new_database())):
        migrate(url)
        before = catalog(url)
        migrate(url)
        assert catalog(url) == before


def test_migrating_keeps_what_is_there(new_engine: Engine) -> None:
    migrate_engine(new_engine)
    with new_engine.begin() as connection:
        connection.execute(text("INSERT INTO ledgers (ledger_id, created_at) VALUES ('kept', '2026-01-31 08:00:00')"))
    migrate_engine(new_engine)
    with new_engine.connect() as connection:
        assert connection.execute(text("SELECT ledger_id FROM ledgers")).scalars().all() == ["kept"]


_PROCESS = """
import sys
from execution_ledger.infrastructure import migrate
print("ready", flush=True)
sys.stdin.readline()
migrate(sys.argv[1])
"""


@pytest.mark.parametrize("processes", [2, 6])
def test_several_processes_can_migrate_at_once(new_database: NewDatabase, processes: int) -> None:
    url = new_database()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen([sys.executable, "-c", _PROCESS, url], text=True, **pipes) for _ in range(processes)]
    for each in started:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in started:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    outcomes = [(each.communicate(timeout=60)[1], each.returncode) for each in started]
    assert outcomes == [("", 0)] * processes
    assert catalog(url) == catalog(declared(new_database()))


def test_a_ready_schema_passes_the_check(new_engine: Engine) -> None:
    create_schema(new_engine)
    with new_engine.connect() as connection:
        check_schema(connection)


def test_an_empty_database_is_told_to_migrate(new_engine: Engine) -> None:
    with new_engine.connect() as connection, pytest.raises(SchemaNotReady, match="no ledger tables yet") as refused:
        check_schema(connection)
    assert "execution-ledger migrate" in str(refused.value)


def test_an_older_schema_is_told_with_both_versions(new_engine: Engine) -> None:
    create_schema(new_engine)
    with new_engine.begin() as connection:
        connection.execute(text("DELETE FROM execution_ledger_version"))
        with pytest.raises(SchemaNotReady, match="at version None, this program needs 0") as refused:
            check_schema(connection)
    assert "migrate" in str(refused.value)


@pytest.mark.parametrize("touch", [check_schema, create_schema, migrate_engine])
def test_a_schema_of_a_later_version_is_left_alone(new_engine: Engine, touch: Callable[[Connection], None]) -> None:
    create_schema(new_engine)
    with new_engine.begin() as connection:
        connection.execute(text("UPDATE execution_ledger_version SET version_num = '9999'"))
    with new_engine.begin() as connection, pytest.raises(SchemaTooNew, match=r"9999.*Upgrade"):
        touch(connection)


def test_the_revisions_written_down_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(infrastructure.__file__).parent / "migrations"))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert list(REVISIONS) == revisions[::-1]


def test_an_application_keeps_its_own_alembic_version_in_the_same_database(new_engine: Engine) -> None:
    with new_engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('a1b2c3')"))
    migrate_engine(new_engine)
    with new_engine.connect() as connection:
        check_schema(connection)
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["a1b2c3"]


def test_several_threads_can_create_the_schema_at_once(new_engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create_schema, [new_engine] * 4))
    with new_engine.connect() as connection:
        check_schema(connection)


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name"])
def test_what_is_no_url_of_a_ledger_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"sqlite:///file\.db"):
        migrate(url)


def test_a_database_in_memory_is_not_migrated_by_its_url() -> None:
    with pytest.raises(InvalidInput, match="create_schema"):
        migrate("sqlite:///:memory:")


async def test_a_schema_can_be_created_through_an_async_connection() -> None:
    engine = create_engine("sqlite:///:memory:")
    async with engine.connect() as connection:
        await connection.run_sync(create_schema)
        await connection.commit()
        async with AsyncSession(connection) as session:
            assert (await ExecutionRepository(session).create_execution({})).id == 1
    await engine.dispose()


@pytest.mark.store("postgresql")
def test_a_database_that_cannot_be_reached_cannot_be_migrated() -> None:
    with pytest.raises(StoreUnavailable):
        migrate("postgresql://nobody@127.0.0.1:1/ledger")


OPEN = ("pending", "preparing", "running", "waiting_for_approval", "stopping")
ENDS = ("stopped", "completed", "failed", "rejected", "cancelled")


@pytest.mark.parametrize("status", [*OPEN, *ENDS, "RUNNING", "done", ""])
def test_the_database_itself_knows_which_statuses_are_ends(database: Database, status: str) -> None:
    now = datetime.now(UTC)
    row = {
        "ledger_id": "default", "id": 1, "job_id": "job", "execution_id": uuid4(), "version": 1, "status": status,
        "attempt": 1, "created_at": now, "updated_at": now,
    }  # fmt: skip
    engine = create_sync_engine(database.url)
    for completed_at in (None, now):
        statement = insert(ExecutionHistory.__table__).values(row | {"completed_at": completed_at})
        right = status in (ENDS if completed_at else OPEN)
        with engine.connect() as connection:
            if right:
                connection.execute(statement)
            else:
                with pytest.raises(IntegrityError, match="execution_history"):
                    connection.execute(statement)
            connection.rollback()
    engine.dispose()


@pytest.mark.store("postgresql")
def test_every_key_and_every_unique_index_begins_with_the_ledger(database: Database) -> None:
    unique = [
        line for line in catalog(database.url)["indexes"] if "UNIQUE" in line and "execution_ledger_version" not in line
    ]
    assert len(unique) >= 10
    assert all("USING btree (ledger_id" in line for line in unique), "so that a cluster can distribute the tables"
