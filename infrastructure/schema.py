"""Making and migrating the schema. Both ways give the same one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from ..domain import SchemaNotReady
from . import guards
from .connections import create_sync_engine, write_transaction
from .database_errors import translated
from .tables import ledgers, metadata

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x45584C44
"""Key of the advisory lock under which a PostgreSQL schema changes; appends know nothing of it."""

_ = guards  # imported for its effect: the triggers are part of the schema


def create_schema(engine: Engine) -> None:
    """Create all tables in an empty database, as `migrate` would."""
    with translated(), engine.begin() as connection, write_transaction(connection, savepoint=False):
        metadata.create_all(connection)
        MigrationContext.configure(connection).stamp(_scripts(), "head")


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to the schema of this version, from nothing or from any older one."""
    engine = create_sync_engine(url)
    try:
        with translated():
            migrate_engine(engine, revision)
    finally:
        engine.dispose()


def migrate_engine(engine: Engine, revision: str = "head") -> None:
    """The same with an engine at hand. Several processes may call it at once."""
    with engine.begin() as connection, write_transaction(connection, savepoint=False):
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def check_schema(connection: Connection) -> None:
    """Refuse a database whose schema is missing, or older or newer than this version."""
    if not inspect(connection).has_table(ledgers.name):
        raise SchemaNotReady(problem="The database has no ledger tables yet")
    current, head = MigrationContext.configure(connection).get_current_revision(), _scripts().get_current_head()
    if current != head:
        raise SchemaNotReady(problem=f"The schema is at version {current}, this program needs {head}")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
