"""The formats of an export: rows to bytes, a page at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from ...domain import InvalidInput
from ...domain.values import shown
from .format import Format
from .parquet import ParquetFormat
from .rows import COLUMNS, plain_row


class JsonLines(Format):
    """An object on each line. `data` stands in it as it is stored, so that its digest can be checked."""

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def add(self, rows: Sequence[Any]) -> bytes:
        """A line for each row."""
        encode = msgspec.json.encode
        return b"".join(encode(self._object(row)) + b"\n" for row in rows)

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def _object(self, row: Any) -> dict[str, Any]:
        named = dict(zip(COLUMNS, plain_row(row), strict=True))
        if named["data"] is not None:
            named["data"] = msgspec.Raw(named["data"])
        return named


class Csv(Format):
    """RFC 4180 with a header; `data` is JSON text, nothing is null.

    A cell that a spreadsheet would take for a formula, or that begins with an apostrophe, has an apostrophe before it.
    """

    def begin(self) -> bytes:
        """The names of the columns."""
        return _lines([list(COLUMNS)])

    def add(self, rows: Sequence[Any]) -> bytes:
        """A record for each row."""
        return _lines([[_guarded(value) for value in plain_row(row)] for row in rows])

    def end(self) -> bytes:
        """Nothing."""
        return b""


def unguarded(cell: str) -> str:
    """A cell of the CSV as it was."""
    return cell.removeprefix("'")


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def _guarded(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


FORMATS: dict[str, type[Format]] = {"jsonl": JsonLines, "csv": Csv, "parquet": ParquetFormat}


def make_format(name: Any) -> Format:
    """The format with this name."""
    if name not in FORMATS:
        raise InvalidInput(
            field="format", problem=f"{shown(name)} is not one of an export", remedy=f"Use: {', '.join(FORMATS)}."
        )
    return FORMATS[name]()
