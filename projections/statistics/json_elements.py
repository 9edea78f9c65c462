"""JSON in Core expressions, for both databases: rows as a parameter, and sketches as text.

A sketch in a row is a JSON object of bucket keys to counts, without spaces and ordered by key: equal sketches are equal
texts.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement, GenericFunction


class json_rows(FunctionElement[Any]):
    """The elements of a JSON array in a text: rows with a `value`."""

    inherit_cache = True
    name = "json_rows"


class json_field(FunctionElement[str]):
    """A field of a JSON object, as text on PostgreSQL; NULL where it is missing."""

    inherit_cache = True
    name = "json_field"
    type = Text()


class joined_members(GenericFunction[str]):
    """An aggregate: the members of a sketch with these keys and counts, in any order. NULL without rows."""

    inherit_cache = True
    type = Text()


def sketch_text(key: ColumnElement[int], count: ColumnElement[int], condition: ColumnElement[bool]) -> Any:
    """An aggregate: the sketch of the rows that meet a condition, but in no order."""
    return "{" + func.coalesce(joined_members(key, count).filter(condition), "") + "}"


class sketch_sum(FunctionElement[str]):
    """The sum of two sketches; counts that are zero after it are left out."""

    inherit_cache = True
    name = "sketch_sum"
    type = Text()


@compiles(json_rows)
def _rows(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_array_elements(CAST({compiler.process(element.clauses, **options)} AS JSON))"


@compiles(json_rows, "sqlite")
def _rows_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(json_field)
def _field(element: Any, compiler: Any, **options: Any) -> str:
    value, name = element.clauses
    return f"({compiler.process(value, **options)} ->> '{name.value}')"


@compiles(json_field, "sqlite")
def _field_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    value, name = element.clauses
    return f"json_extract({compiler.process(value, **options)}, '$.{name.value}')"


@compiles(joined_members)
def _joined(element: Any, compiler: Any, **options: Any) -> str:
    return f"string_agg({_member(*element.clauses, compiler=compiler, **options)})"


@compiles(joined_members, "sqlite")
def _joined_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"group_concat({_member(*element.clauses, compiler=compiler, **options)})"


def _member(key: Any, count: Any, *, compiler: Any, **options: Any) -> str:
    return f"""'"' || {compiler.process(key, **options)} || '":' || {compiler.process(count, **options)}, ','"""


@compiles(sketch_sum)
def _sum(element: Any, compiler: Any, **options: Any) -> str:
    members = (f"json_each_text(CAST({compiler.process(clause, **options)} AS JSON))" for clause in element.clauses)
    return _summed("string_agg", *members)


@compiles(sketch_sum, "sqlite")
def _sum_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    members = (f"json_each({compiler.process(clause, **options)})" for clause in element.clauses)
    return _summed("group_concat", *members)


def _summed(joined: str, one: str, other: str) -> str:
    return (
        f"""(SELECT '{{' || coalesce({joined}('"' || k || '":' || n, ','), '') || '}}' FROM ("""
        "SELECT CAST(key AS BIGINT) AS k, CAST(sum(CAST(value AS BIGINT)) AS BIGINT) AS n "
        f"FROM (SELECT key, value FROM {one} AS a UNION ALL SELECT key, value FROM {other} AS b) AS u "
        "GROUP BY 1 HAVING sum(CAST(value AS BIGINT)) <> 0 ORDER BY 1) AS s)"
    )
