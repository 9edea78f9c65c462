"""Rows that go to PostgreSQL as one JSON parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .types import to_json

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


def dump_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """The parameter for `rows_of`."""
    return to_json([{**row, **ONE} for row in rows])
