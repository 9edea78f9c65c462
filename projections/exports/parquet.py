"""Parquet, where pyarrow is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...domain import InvalidInput
from .format import Format
from .rows import COLUMNS

_ROWS, _DATA = 20_000, 16 * 1024 * 1024
"""Rows of a group, and characters of their payloads; a group is in memory until it is written."""


class ParquetFormat(Format):
    """Groups of rows; times are UTC in microseconds, hashes bytes, the UUID and the payload text."""

    def __init__(self) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise InvalidInput(
                field="format",
                problem="parquet needs pyarrow, which is not installed",
                remedy="Run `pip install execution-ledger[parquet]`, or use jsonl or csv.",
            ) from error
        self._pyarrow: Any = pyarrow
        kinds = {
            "text": pyarrow.string(),
            "json": pyarrow.string(),
            "uuid": pyarrow.string(),
            "integer": pyarrow.int64(),
            "time": pyarrow.timestamp("us", tz="UTC"),
            "bytes": pyarrow.binary(),
        }
        self._schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
        self._sink = _Sink()
        self._writer = pyarrow.parquet.ParquetWriter(pyarrow.PythonFile(self._sink, mode="w"), self._schema)
        self._waiting: list[Any] = []
        self._data = 0

    def begin(self) -> bytes:
        """The magic number."""
        return self._sink.take()

    def add(self, rows: Sequence[Any]) -> bytes:
        """A group, once there are rows enough."""
        self._waiting += rows
        self._data += sum(len(row.data or "") for row in rows)
        if len(self._waiting) >= _ROWS or self._data >= _DATA:
            self._write()
        return self._sink.take()

    def end(self) -> bytes:
        """The last group and the footer."""
        if self._waiting:
            self._write()
        self._writer.close()
        return self._sink.take()

    def _write(self) -> None:
        columns = []
        for name, kind in COLUMNS.items():
            values = [getattr(row, name) for row in self._waiting]
            if kind == "uuid":
                values = [str(value) for value in values]
            columns.append(self._pyarrow.array(values, self._schema.field(name).type))
        self._waiting, self._data = [], 0
        self._writer.write_table(self._pyarrow.table(columns, schema=self._schema))


class _Sink:
    """Keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
