"""The columns of an export, which are the same in every format."""

from __future__ import annotations

from typing import Any

from ...domain.leaf import canonical_time
from ...infrastructure.tables import execution_events

HASHES = tuple(execution_events.c[name] for name in ("salt", "payload_digest", "leaf_hash"))
"""What makes an export verifiable without the ledger: see `docs/leaf-format.md`."""

COLUMNS: dict[str, str] = {
    "ledger_id": "text",
    "position": "integer",
    "job_id": "text",
    "execution_id": "uuid",
    "version": "integer",
    "type": "text",
    "schema_version": "integer",
    "data": "json",
    "recorded_at": "time",
    "occurred_at": "time",
    "actor": "text",
    "reason": "text",
    "correlation_id": "text",
    "causation_id": "text",
    "trace_id": "text",
    "command_id": "text",
    "salt": "bytes",
    "payload_digest": "bytes",
    "leaf_hash": "bytes",
}
"""Name → kind, in order."""


def plain_row(row: Any) -> list[Any]:
    """Text, numbers and None: times with six digits of a second, bytes as hexadecimal digits, payloads as stored."""
    return [None if value is None else _PLAIN.get(kind, _same)(value) for value, kind in _with_kinds(row)]


def _with_kinds(row: Any) -> Any:
    return ((getattr(row, name), kind) for name, kind in COLUMNS.items())


def _same(value: Any) -> Any:
    return value


_PLAIN: dict[str, Any] = {"uuid": str, "time": canonical_time, "bytes": bytes.hex}
