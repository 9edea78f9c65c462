"""The table that executions were kept in, in any database that SQLAlchemy reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy
from sqlalchemy import JSON, Connection, Engine, Integer, MetaData, Table, event, func, inspect, select
from sqlalchemy.dialects.mysql import TIMESTAMP
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError

from ...domain import InvalidInput, StoreUnavailable
from ..connections import parse_url

_PAGE, _BYTES = 2_000, 8 * 1024 * 1024
"""Rows, and bytes of their texts, of a page."""
_FETCH = 25
"""Rows that a driver holds beside."""
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_ASYNC = ("asyncpg", "aiomysql", "asyncmy", "aiosqlite")
"""Drivers of applications that await; here rows are read in a thread."""
_PLACE = ("host", "port", "service", "dbname", "unix_socket")
"""What in the query of a URL tells which database it is."""


class Unreadable(NamedTuple):
    """A row that the driver cannot make values of."""

    id: int
    problem: str


class CrudTable:
    """A table, or a view, with a column of whole numbers that tells its rows apart. A context: it ends its connections.

    Rows are read in the order of their numbers, a page at a time, so neither memory nor a transaction grows with them.
    """

    def __init__(self, url: str, table: str, *, id_column: str = "id") -> None:
        """`table` may name a schema before a dot."""
        self._engine = _open(url)
        self._table = _reflect(self._engine, table)
        self.name = table
        self.columns: tuple[str, ...] = tuple(self._table.columns.keys())
        if id_column not in self.columns:
            raise InvalidInput(
                field="map id",
                problem=f"{table} has no column {id_column!r}",
                remedy=f"Name the column of the numbers. There are: {', '.join(self.columns)}.",
            )
        self._id = self._table.columns[id_column]
        self.id_column = id_column
        self._check_id()

    def _check_id(self) -> None:
        if not isinstance(self._id.type, Integer):
            raise InvalidInput(
                field="map id",
                problem=f"{self.id_column!r} of {self.name} is {self._id.type} and no whole number",
                remedy="Name a column of numbers; the ledger keeps them as ids.",
            )
        if list(self._table.primary_key.columns) == [self._id]:
            return
        counts = select(func.count(), func.count(self._id.distinct())).select_from(self._table)
        with self._reading() as connection:
            rows, numbers = connection.execute(counts).one()
        if rows != numbers:
            raise InvalidInput(
                field="map id",
                problem=f"{self.id_column!r} of {self.name} is NULL in some rows, or the same in several",
                remedy="Name a column that tells all rows apart.",
            )

    def __enter__(self) -> CrudTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    @property
    def address(self) -> str:
        """What names this table among others, without a password in it."""
        url = self._engine.url
        if url.get_backend_name() == "sqlite":
            file = (url.database or "").removeprefix("file:")
            return f"sqlite:///{Path(file).resolve()}#{self.name}"
        place = {name: value for name, value in url.query.items() if name in _PLACE}
        return f"{url.set(username=None, password=None, query=place)}#{self.name}"

    @property
    def decoded(self) -> frozenset[str]:
        """Columns whose values come as JSON values, not as text."""
        return frozenset(name for name, column in self._table.columns.items() if isinstance(column.type, JSON))

    @property
    def in_utc(self) -> frozenset[str]:
        """Columns whose times are of UTC though they come without a zone."""
        return frozenset(name for name, column in self._table.columns.items() if isinstance(column.type, TIMESTAMP))

    def count(self) -> int:
        """How many rows there are."""
        with self._reading() as connection:
            return connection.execute(select(func.count()).select_from(self._table)).scalar_one()

    def repeated(self, column: str) -> frozenset[str]:
        """Values of a column that several rows have."""
        value = self._table.columns[column]
        several = select(value).where(value.is_not(None)).group_by(value).having(func.count() > 1)
        with self._reading() as connection:
            return frozenset(map(str, connection.execute(several).scalars()))

    def pages(self, after: int | None = None) -> Iterator[list[Any]]:
        """All rows, or those with higher numbers, as mappings of column to value; some may be `Unreadable`."""
        while True:
            try:
                page = self._page(after)
            except (DBAPIError, ValueError, TypeError) as error:
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    raise _told(error) from error
                page = self._one_by_one(after)
            if not page:
                return
            yield page
            last = page[-1]
            after = last.id if isinstance(last, Unreadable) else last[self.id_column]

    def _page(self, after: int | None) -> list[Any]:
        rows: list[Any] = []
        size = 0
        statement = self._after(select(self._table), after).execution_options(yield_per=_FETCH)
        with self._engine.connect() as connection, connection.execute(statement) as result:
            for row in result.mappings():
                rows.append(row)
                size += sum(map(_size, row.values()))
                if size > _BYTES:
                    break
        return rows

    def _one_by_one(self, after: int | None) -> list[Any]:
        """The same page where something in it cannot be read: which row it is."""
        with self._reading() as connection:
            ids = list(connection.execute(self._after(select(self._id), after)).scalars())
        rows: list[Any] = []
        for id in ids:
            try:
                with self._engine.connect() as connection:
                    row = connection.execute(select(self._table).where(self._id == id)).mappings().one_or_none()
            except (DBAPIError, ValueError, TypeError) as error:
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    raise _told(error) from error
                rows.append(Unreadable(id, f"it cannot be read: {_cause(error)}"))
            else:
                rows += [] if row is None else [row]
        return rows

    def _after(self, statement: Any, after: int | None) -> Any:
        ordered = statement.order_by(self._id).limit(_PAGE)
        return ordered if after is None else ordered.where(self._id > after)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _told(error) from error


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    return len(msgspec.json.encode(value)) if isinstance(value, dict | list) else 0


def _told(error: SQLAlchemyError) -> StoreUnavailable:
    return StoreUnavailable(problem=f"the source says: {_cause(error)}")


def _cause(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _open(url: str) -> Engine:
    parsed = parse_url(url)
    name = parsed.get_backend_name()
    if "+" not in parsed.drivername or parsed.get_driver_name() in _ASYNC:
        parsed = parsed.set(drivername=_DRIVERS.get(name, parsed.drivername))
    if name == "sqlite":  # read only: a name that is mistyped makes no file
        file = parsed.database or ":memory:"
        parsed = parsed.set(drivername="sqlite", database=f"file:{file}", query={"mode": "ro", "uri": "true"})
    try:
        engine = sqlalchemy.create_engine(parsed)
    except ModuleNotFoundError as error:
        remedy = "pip install 'execution-ledger[mysql]'." if error.name == "pymysql" else f"pip install {error.name}."
        raise InvalidInput(field="URL", problem=f"reading {name} needs {error.name}", remedy=remedy) from error
    except NoSuchModuleError as error:
        raise InvalidInput(
            field="URL", problem=f"{name} is no database that SQLAlchemy knows", remedy="Install its dialect."
        ) from error
    if name in ("mysql", "mariadb"):
        event.listen(engine, "connect", _show_times_in_utc)
    return engine


def _show_times_in_utc(connection: Any, _: Any) -> None:
    # A TIMESTAMP is shown in the zone of the session.
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")


def _reflect(engine: Engine, name: str) -> Table:
    schema, _, table = name.rpartition(".")
    try:
        return Table(table, MetaData(), schema=schema or None, autoload_with=engine, resolve_fks=False)
    except NoSuchTableError as error:
        there = inspect(engine).get_table_names(schema or None)
        raise InvalidInput(
            field="table",
            problem=f"there is no {name!r}",
            remedy=f"There are: {', '.join(sorted(there)) or 'none at all'}.",
        ) from error
    except SQLAlchemyError as error:
        raise _told(error) from error
