"""Many rows of one table, as fast as its driver takes and finds them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Table, TextualSelect, bindparam, insert, text, update

from .json_rows import dump_keys, keys_of, rows_of, type_name
from .types import JsonText, to_json


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows that name the same columns: by COPY where psycopg is the driver, which takes a third of the time."""
    if not rows:
        return
    if connection.dialect.driver != "psycopg" or connection.dialect.is_async:
        connection.execute(insert(table), list(rows))
        return
    names = list(rows[0])
    texts = [at for at, name in enumerate(names) if isinstance(table.c[name].type, JsonText)]
    driver: Any = connection.connection.driver_connection
    columns = ", ".join(names)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
        for row in rows:
            values = list(row.values())
            for at in texts:
                if values[at] is not None:
                    values[at] = to_json(values[at])
            copy.write_row(values)


def update_rows(connection: Connection, table: Table, ledger: str, rows: Iterable[tuple[int, dict[str, Any]]]) -> None:
    """Set columns of rows by their `id`; each may name other columns."""
    ordered = sorted(rows, key=lambda row: tuple(row[1]))
    for names, group in groupby(ordered, key=lambda row: tuple(row[1])):
        if not names:
            continue
        if connection.dialect.name == "sqlite":
            which = (table.c.ledger_id == ledger) & (table.c.id == bindparam("_of"))
            statement = update(table).where(which).values({name: bindparam(f"_{name}") for name in names})
            values = [{"_of": id} | {f"_{name}": value for name, value in row.items()} for id, row in group]
            connection.execute(statement, values)
        else:
            found = ({**_texts(table, row), "id": id, "_one": 1} for id, row in group)
            connection.execute(text(_update(table, names)), {"ledger_id": ledger, "rows": to_json(list(found))})


def find_rows(connection: Connection, table: Table, ledger: str, column: str, keys: Collection[Any]) -> Sequence[Any]:
    """The rows of a ledger whose `column` is one of the keys, by its index."""
    if not keys:
        return ()
    dialect = connection.dialect.name
    parameters = {"ledger_id": ledger, "keys": dump_keys(dialect, (column,), ((key,) for key in keys))}
    return connection.execute(_find(dialect, table, column), parameters).all()


@lru_cache
def _find(dialect: str, table: Table, column: str) -> TextualSelect:
    # SQLite keeps the order of a CROSS JOIN; else it reads the whole ledger and looks for each row among the keys.
    join = "CROSS JOIN" if dialect == "sqlite" else "JOIN"
    keys = keys_of(dialect, "keys", {column: type_name(table.c[column])})
    names = ", ".join(f"s.{each.name}" for each in table.columns)
    statement = (
        f"SELECT {names} FROM ({keys}) k {join} {table.name} s ON s.ledger_id = :ledger_id AND s.{column} = k.{column}"
    )
    return text(statement).columns(*table.columns)


@lru_cache(maxsize=256)
def _update(table: Table, names: tuple[str, ...]) -> str:
    sets = ", ".join(f"{name} = k.{name}" for name in names)
    rows = rows_of("rows", {name: type_name(table.c[name]) for name in (*names, "id")})
    return (
        f"UPDATE {table.name} s SET {sets} FROM (SELECT * FROM {rows}) k WHERE s.ledger_id = :ledger_id AND s.id = k.id"
    )


def _texts(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON columns as the text that they hold."""
    return {
        name: to_json(value) if value is not None and isinstance(table.c[name].type, JsonText) else value
        for name, value in row.items()
    }
