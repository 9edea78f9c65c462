"""Many keys as one parameter: rows of a JSON array that a statement joins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import JSON, BigInteger, FromClause, Integer, Uuid, bindparam, cast, column, func, select, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement, GenericFunction

from ..infrastructure.json_rows import dump_rows
from ..infrastructure.types import to_json, to_sqlite

KEYS = "keys"
"""The name of the parameter."""

_TYPES: dict[str, Any] = {"n": Integer(), "execution_id": Uuid(), "low": BigInteger(), "version": BigInteger()}


def key_rows(dialect: str, *fields: str) -> FromClause:
    """The rows of the parameter `keys`; `n` is the number of each. Join events to them by LEFT JOIN.

    A LEFT JOIN, since SQLite then reads the few keys first; and `_one = 1`, since PostgreSQL then expects few of them:
    see `infrastructure.json_rows`.
    """
    names = ("n", *fields)
    if dialect == "sqlite":
        each = func.json_each(bindparam(KEYS)).table_valued("value", name="j")
        values = (type_coerce(func.json_extract(each.c.value, f"$.{name}"), _TYPES[name]) for name in names)
        return select(*(value.label(name) for name, value in zip(names, values, strict=True))).subquery("k")
    typed = [column(name, _TYPES[name]) for name in names]
    rows = func.json_to_recordset(cast(bindparam(KEYS), JSON)).table_valued(*typed, column("_one", Integer), name="j")
    rows = rows.render_derived(with_types=True)
    return select(*(rows.c[name] for name in names)).where(rows.c._one == 1).subquery("k")


def dump_keys(dialect: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The parameter; `n` is put in."""
    numbered = [{"n": n, **row} for n, row in enumerate(rows)]
    if dialect == "sqlite":
        plain = [dict(zip(row, to_sqlite(row.values()), strict=True)) for row in numbered]
        return {KEYS: to_json(plain)}
    return {KEYS: dump_rows(numbered)}


class json_members(FunctionElement[Any]):
    """The members of a JSON object in a text column: rows of `key` and `value`, the latter as text on PostgreSQL."""

    inherit_cache = True
    name = "json_members"


class json_object_of(GenericFunction[str]):
    """An aggregate: a JSON object of these keys and values, as text."""

    inherit_cache = True


@compiles(json_members)
def _members(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_each_text(CAST({compiler.process(element.clauses, **options)} AS JSON))"


@compiles(json_members, "sqlite")
def _members_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(json_object_of)
def _object(element: Any, compiler: Any, **options: Any) -> str:
    return f"CAST(json_object_agg({compiler.process(element.clauses, **options)}) AS TEXT)"


@compiles(json_object_of, "sqlite")
def _object_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_group_object({compiler.process(element.clauses, **options)})"
