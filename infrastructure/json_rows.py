"""Rows that go to PostgreSQL as one JSON parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column
from sqlalchemy.dialects import postgresql

from .types import to_json, to_sqlite

_DIALECT = postgresql.dialect()

ONE: dict[str, int] = {"_one": 1}
"""What every such row holds beside its own fields; begins with _, as no column of an entity is expected to."""


def rows_of(parameter: str, fields: Mapping[str, str]) -> str:
    """The rows of a JSON array of objects, with `fields` and their types: a FROM item with its WHERE clause.

    What looks like nothing, `_one = 1`, tells the planner what it cannot know: an equality on a function's column it
    takes for very selective, expects one row in place of a hundred, and looks up by key whatever is joined with it.
    Else, as long as nothing was analyzed, it reads all of a ledger, which it takes for a two-hundredth of the table.
    """
    typed = ", ".join(f"{name} {kind}" for name, kind in fields.items())
    return f"json_to_recordset(CAST(:{parameter} AS json)) AS k({typed}, _one int) WHERE k._one = 1"


def keys_of(dialect: str, parameter: str, fields: Mapping[str, str]) -> str:
    """The same as a subquery, on both databases; give it the parameter of `dump_keys`."""
    if dialect == "sqlite":
        return f"SELECT {', '.join(f'value ->> {name!r} AS {name}' for name in fields)} FROM json_each(:{parameter})"
    return f"SELECT * FROM {rows_of(parameter, fields)}"


def dump_keys(dialect: str, names: Sequence[str], keys: Iterable[Sequence[Any]]) -> str:
    """The parameter for `keys_of`."""
    if dialect == "sqlite":
        return to_json([dict(zip(names, to_sqlite(key), strict=False)) for key in keys])
    return dump_rows(dict(zip(names, key, strict=False)) for key in keys)


def type_name(column: Column[Any]) -> str:
    """What PostgreSQL calls the type of a column, without the collation, which the column has itself."""
    # The short name, since drivers cache no long statements.
    name = column.type.compile(_DIALECT).partition(" COLLATE ")[0]
    return "timestamptz" if name == "TIMESTAMP WITH TIME ZONE" else name.lower()


def dump_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """The parameter for `rows_of`."""
    return to_json([{**row, **ONE} for row in rows])
