"""What an export holds, and how to tell that it is whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

FORMAT_VERSION = 1
"""Of the files and of the manifest; a change of either that a reader must know of counts it up."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Tells of an export what its file cannot tell itself."""

    format_version: int
    format: str
    """jsonl, csv or parquet."""
    ledger: str
    filters: dict[str, Any]
    """Those that narrow; times are UTC."""
    size: int
    """The events that the ledger had when the export began; none behind them is in it."""
    root: str
    """The RFC 9162 root of the ledger at that size, in hexadecimal digits."""
    first_position: int | None
    last_position: int | None
    """Of the rows; None where there is none."""
    rows: int
    exported_at: datetime
    bytes: int
    sha256: str
    """Of the file, in hexadecimal digits."""

    def to_json(self) -> bytes:
        """As it stands in the file `….manifest.json`."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def from_json(cls, text: bytes | str) -> Manifest:
        """Read such a file."""
        return msgspec.json.decode(text, type=cls)
