"""The table that executions were kept in, in any database that SQLAlchemy reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, Integer, MetaData, Table, func, inspect, select
from sqlalchemy.exc import NoSuchModuleError, NoSuchTableError, SQLAlchemyError

from ...domain import InvalidInput, StoreUnavailable
from ..connections import parse_url

_PAGE = 1_000
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}


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
        if not isinstance(self._id.type, Integer):
            raise InvalidInput(
                field="map id",
                problem=f"{id_column!r} of {table} is {self._id.type} and no whole number",
                remedy="Name a column of numbers; the ledger keeps them as ids.",
            )
        self.id_column = id_column

    def __enter__(self) -> CrudTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    @property
    def address(self) -> str:
        """What names this table among others, without a password in it."""
        return f"{self._engine.url.set(username=None, password=None, query={})}#{self.name}"

    def count(self) -> int:
        """How many rows there are."""
        with _reading(self._engine) as connection:
            return connection.execute(select(func.count()).select_from(self._table)).scalar_one()

    def repeated(self, column: str) -> frozenset[str]:
        """Values of a column that several rows have."""
        value = self._table.columns[column]
        several = select(value).where(value.is_not(None)).group_by(value).having(func.count() > 1)
        with _reading(self._engine) as connection:
            return frozenset(map(str, connection.execute(several).scalars()))

    def pages(self, after: int | None = None) -> Iterator[Sequence[Any]]:
        """All rows, or those with higher numbers, as mappings of column to value."""
        while True:
            page = select(self._table).order_by(self._id).limit(_PAGE)
            if after is not None:
                page = page.where(self._id > after)
            with _reading(self._engine) as connection:
                rows = connection.execute(page).mappings().all()
            if rows:
                yield rows
            if len(rows) < _PAGE:
                return
            after = rows[-1][self._id]


class _reading:
    """A short read; what fails is told in one line."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Any:
        try:
            self._connection = self._engine.connect()
        except SQLAlchemyError as error:
            raise _told(error) from error
        return self._connection

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        self._connection.close()
        if isinstance(error, SQLAlchemyError):
            raise _told(error) from error


def _told(error: SQLAlchemyError) -> StoreUnavailable:
    cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return StoreUnavailable(problem=f"the source says: {cause}")


def _open(url: str) -> Engine:
    parsed = parse_url(url)
    name = parsed.get_backend_name()
    if "+" not in parsed.drivername:
        parsed = parsed.set(drivername=_DRIVERS.get(name, parsed.drivername))
    if name == "sqlite":  # read only: a name that is mistyped makes no file
        file = parsed.database or ":memory:"
        parsed = parsed.set(drivername="sqlite", database=f"file:{file}", query={"mode": "ro", "uri": "true"})
    try:
        return sqlalchemy.create_engine(parsed, pool_size=1) if name != "sqlite" else sqlalchemy.create_engine(parsed)
    except ModuleNotFoundError as error:
        remedy = "pip install 'execution-ledger[mysql]'." if error.name == "pymysql" else f"pip install {error.name}."
        raise InvalidInput(field="URL", problem=f"reading {name} needs {error.name}", remedy=remedy) from error
    except NoSuchModuleError as error:
        raise InvalidInput(
            field="URL", problem=f"{name} is no database that SQLAlchemy knows", remedy="Install its dialect."
        ) from error


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
