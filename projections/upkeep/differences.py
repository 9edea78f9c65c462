"""What is not as the events say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ...infrastructure.types import to_json


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A value, a row or an event that is not what the events of the ledger say."""

    ledger: str
    table: str
    key: str
    """Which row: `id=7`, `position=12`, `job_id=…`."""
    column: str | None
    """None where the whole row is missing, or should not be there."""
    expected: Any
    found: Any

    def __str__(self) -> str:
        where = f"{self.ledger}: {self.table} {self.key}"
        if self.column is None:
            return f"{where}: {'is missing' if self.found is None else 'should not be there'}"
        return f"{where}: {self.column} is {_short(self.found)}, should be {_short(self.expected)}"


def _short(value: Any) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def compare_rows(
    ledger: str, table: str, key: str, expected: Mapping[Any, Any] | None, found: Mapping[Any, Any] | None
) -> Iterator[Difference]:
    """The differences of a row, by the columns of what is expected."""
    if expected is None or found is None:
        if expected is not found:
            yield Difference(ledger=ledger, table=table, key=key, column=None, expected=expected, found=found)
        return
    for column, value in expected.items():
        if not _same(value, found[column]):
            yield Difference(ledger=ledger, table=table, key=key, column=column, expected=value, found=found[column])


def _same(one: Any, other: Any) -> bool:
    if one is other or one != other:
        return one is other
    # In JSON, true is not 1, nor 1 the same as 1.0.
    kind = type(one)
    return to_json(one) == to_json(other) if kind is not type(other) or kind is dict or kind is list else True
