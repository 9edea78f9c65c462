"""Rows of one table under two names of a ledger: how they differ, and how they change places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, literal, select, update
from sqlalchemy import and_ as all_of
from sqlalchemy import or_ as any_of

_SAMPLES = 20


class TableDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How the built rows of a table differ from the live ones."""

    table: str
    missing: int
    """Rows that the live table lacks."""
    extra: int
    """Rows that it should not have."""
    changed: int
    """Rows with other values."""
    samples: dict[str, list[dict[str, Any]]]
    """Keys of the first of each kind."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.missing + self.extra + self.changed


def diff_sets(
    connection: Connection, table: Table, live: str, new: str, only: Any = lambda alias: ()
) -> TableDifference:
    """Count what differs, among the rows that `only` (a row's alias → conditions) lets pass."""
    ours, theirs = table.alias("live"), table.alias("built")
    kinds = {
        "missing": _lacking(theirs, new, ours, live, only),
        "extra": _lacking(ours, live, theirs, new, only),
        "changed": select(*_keys(theirs))
        .join(ours, all_of(*_same_key(ours, theirs)))
        .where(ours.c.ledger_id == live, theirs.c.ledger_id == new, _differs(ours, theirs), *only(theirs)),
    }
    counts, samples = {}, {}
    for kind, found in kinds.items():
        counts[kind] = connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()
        if counts[kind]:
            samples[kind] = [dict(row) for row in connection.execute(found.limit(_SAMPLES)).mappings()]
    return TableDifference(table=table.name, samples=samples, **counts)


def _lacking(here: Any, name: str, there: Any, other: str, only: Any) -> Any:
    absent = ~select(1).where(there.c.ledger_id == other, *_same_key(here, there)).exists()
    return select(*_keys(here)).where(here.c.ledger_id == name, absent, *only(here))


def _keys(rows: Any) -> Sequence[Any]:
    return [column for column in rows.c if column.primary_key and column.name != "ledger_id"]


def _same_key(one: Any, other: Any) -> Sequence[ColumnElement[bool]]:
    return [one.c[column.name] == other.c[column.name] for column in _keys(one)]


def _differs(one: Any, other: Any) -> ColumnElement[bool]:
    values = [column.name for column in one.c if not column.primary_key]
    return any_of(*(one.c[name].is_distinct_from(other.c[name]) for name in values))


def move(connection: Connection, table: Table, source: str, target: str) -> int:
    """Give all rows of one name another one. A cluster cannot change the column it distributes by: so by copies."""
    copy(connection, table, source, target)
    return clear(connection, table, source)


def copy(connection: Connection, table: Table, source: str, target: str, *conditions: Any) -> None:
    """Add the rows of one name to those of another."""
    values = [literal(target, table.c.ledger_id.type) if c.name == "ledger_id" else c for c in table.c]
    rows = select(*values).where(table.c.ledger_id == source, *conditions)
    connection.execute(insert(table).from_select([column.name for column in table.c], rows))


def replace(connection: Connection, table: Table, source: str, target: str) -> None:
    """Give the rows of one name the values that those of another have with the same key, in place.

    A statement of a writer that began before, and waits for a lock, then changes the row as it is now. Of a row that
    was deleted and added again it would find nothing, and its change would be lost.
    """
    there = table.alias("there")
    values = {column.name: there.c[column.name] for column in table.c if not column.primary_key}
    same = all_of(table.c.ledger_id == target, there.c.ledger_id == source, *_same_key(table, there))
    connection.execute(update(table).where(same).values(values))


def clear(connection: Connection, table: Table, name: str, *conditions: Any) -> int:
    """Remove rows of a name."""
    return connection.execute(delete(table).where(table.c.ledger_id == name, *conditions)).rowcount


def has_row(table: Table, name: str, *, differing: bool = False, same_version: bool = False) -> ColumnElement[bool]:
    """Whether there is a row with the same key under another name: for use in a statement over `table`."""
    other = table.alias("other")
    found = select(1).where(other.c.ledger_id == name, *_same_key(table, other))
    if differing:
        found = found.where(_differs(table, other))
    if same_version:
        found = found.where(other.c.version == table.c.version)
    return found.exists()
