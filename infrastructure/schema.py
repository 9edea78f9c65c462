"""Making, migrating and checking the schema. Made and migrated are the same one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, select, text

from ..domain import InvalidInput, SchemaNotReady, SchemaTooNew
from .connections import create_sync_engine, parse_url, write_transaction
from .database_errors import translated
from .guards import install_guards
from .tables import ledgers, metadata

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")
"""The migrations in order, the last one being this version's. Written down, since asking Alembic means importing it, a
fifth of a second that every start of the command line would pay. A test compares."""

VERSION_TABLE = "execution_ledger_version"
"""Where Alembic keeps the version: not in its usual table, which the application that shares the database may use."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x45584C44
"""Key of the advisory lock under which a PostgreSQL schema changes; appends know nothing of it."""

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))

install_guards()


def create_schema(bind: Engine | Connection) -> None:
    """Create all tables, as `migrate` would; where they are there already, nothing happens.

    With an async engine: `await connection.run_sync(create_schema)`, then commit.
    """
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with translated(), _changing(bind) as connection:
        current = _current_revision(connection)
        if current is None:
            metadata.create_all(connection)
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            context.stamp(ScriptDirectory.from_config(_config()), "head")
        elif current != REVISIONS[-1]:
            raise _outdated(current)


def migrate(url: str) -> None:
    """Bring the database at `url` to the schema of this version, from nothing or from any older one."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InvalidInput(
            field="database_url",
            problem="names no file, and memory is gone with its connection",
            remedy="Name a file, or call create_schema on the connection that you go on with.",
        )
    engine = create_sync_engine(url)
    try:
        migrate_engine(engine)
    finally:
        engine.dispose()


def migrate_engine(bind: Engine | Connection) -> None:
    """The same with an engine or a connection at hand. Several processes may call it at once."""
    from alembic import command

    with translated(), _changing(bind) as connection:
        _current_revision(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check_schema(connection: Connection) -> None:
    """Refuse a database whose schema is missing, or older or newer than this version."""
    with translated():
        if not inspect(connection).has_table(ledgers.name):
            raise SchemaNotReady(problem="The database has no ledger tables yet")
        current = _current_revision(connection)
        if current != REVISIONS[-1]:
            raise _outdated(current)


@contextmanager
def _changing(bind: Engine | Connection) -> Iterator[Connection]:
    """One transaction, alone with the schema."""
    if isinstance(bind, Engine):
        with bind.begin() as connection, _changing(connection):
            yield connection
        return
    with write_transaction(bind, savepoint=False):
        if bind.dialect.name == "postgresql":
            bind.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield bind


def _current_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    current = connection.execute(select(_version.c.version_num)).scalar()
    if current is not None and current not in REVISIONS:
        raise SchemaTooNew(revision=current)
    return current


def _outdated(current: str | None) -> SchemaNotReady:
    return SchemaNotReady(problem=f"The schema is at version {current}, this program needs {REVISIONS[-1]}")


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["version_table"] = VERSION_TABLE
    return config
