"""Tables as CRUD programs keep them, in each kind of database, and a ledger to move them to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine

from execution_ledger.infrastructure import create_sync_engine
from execution_ledger.infrastructure.moving import CrudTable
from support import Database
from support.mariadb import IS_THERE, running_mariadb

SOURCES = ("sqlite", "postgresql", *(["mariadb"] if IS_THERE else []))


EXECUTIONS = sqlalchemy.Table(
    "executionhistory",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("job_id", sqlalchemy.String(500), index=True),
    sqlalchemy.Column("status", sqlalchemy.String(50)),
    sqlalchemy.Column("inputs", sqlalchemy.JSON),
    sqlalchemy.Column("result", sqlalchemy.JSON),
    sqlalchemy.Column("error", sqlalchemy.Text),
    sqlalchemy.Column("message", sqlalchemy.Text),
    sqlalchemy.Column("run_name", sqlalchemy.String(200)),
    sqlalchemy.Column("created_at", sqlalchemy.DateTime(timezone=True)),
    sqlalchemy.Column("completed_at", sqlalchemy.DateTime(timezone=True)),
)
"""The table of the seed document."""


class Source:
    """A database with the table of the seed document, or another one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sqlalchemy.create_engine(url)

    def create(self, statement: str | None = None) -> None:
        if statement is None:
            with self.engine.begin() as connection:
                EXECUTIONS.create(connection)
        else:
            self.execute(statement)

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def add(self, *rows: Mapping[str, Any]) -> None:
        with self.engine.begin() as connection:
            for row in rows:
                connection.execute(sqlalchemy.insert(EXECUTIONS), row)

    def add_many(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.insert(EXECUTIONS), list(rows))

    def update(self, id: int, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.update(EXECUTIONS).where(EXECUTIONS.c.id == id).values(values))

    def table(self, name: str = "executionhistory", **options: Any) -> CrudTable:
        return CrudTable(self.url, name, **options)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    with running_mariadb() as url:
        yield url


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    server = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/crud.db"
    elif request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = server.create_database()
    else:
        url = request.getfixturevalue("mariadb")
    made = Source(url)
    yield made
    if request.param == "mariadb":
        with made.engine.begin() as connection:
            metadata = sqlalchemy.MetaData()
            metadata.reflect(connection)
            metadata.drop_all(connection)
    made.engine.dispose()
    if server is not None:
        server.drop_database(url)


@pytest.fixture
def crud(tmp_path: Path) -> Iterator[Source]:
    """In a SQLite file, where the kind of database does not matter."""
    made = Source(f"sqlite:///{tmp_path}/crud.db")
    yield made
    made.engine.dispose()


@pytest.fixture
def target(database: Database) -> Iterator[Engine]:
    engine = create_sync_engine(database.url)
    yield engine
    engine.dispose()
