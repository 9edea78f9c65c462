"""The hashes of one event. `docs/leaf-format.md` says the same for a stranger who wants to check a ledger."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_bytes
from typing import NamedTuple
from uuid import UUID

import msgspec

_encode = msgspec.json.Encoder().encode

SALT_BYTES = 16


class EventRow(NamedTuple):
    """One event as it is stored, without its ledger and position: those the append gives."""

    execution_id: UUID
    version: int
    type: str
    schema_version: int
    data: str | None
    """JSON text, kept byte for byte; None once it was erased."""
    salt: bytes | None
    payload_digest: bytes
    leaf_hash: bytes
    recorded_at: datetime
    occurred_at: datetime | None
    actor: str | None
    reason: str | None
    correlation_id: str | None
    causation_id: str | None
    trace_id: str | None
    command_id: str | None


_salts: list[bytes] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_salts.clear)  # else parent and child would use the same ones


def new_salt() -> bytes:
    """Random bytes that keep a payload from being guessed from its digest after it was erased."""
    try:
        return _salts.pop()
    except IndexError:  # 64 at once, since asking the kernel takes as long as hashing an event
        drawn = token_bytes(64 * SALT_BYTES)
        _salts.extend(drawn[at : at + SALT_BYTES] for at in range(SALT_BYTES, len(drawn), SALT_BYTES))
        return drawn[:SALT_BYTES]


def payload_digest(salt: bytes, data: bytes) -> bytes:
    """SHA-256 of salt ‖ payload."""
    return sha256(salt + data).digest()


def canonical_form(ledger_id: str, row: EventRow) -> bytes:
    """RFC 8785 (JCS) JSON of all columns but the position, with the payload's digest in place of payload and salt."""
    # The names stand in order, and msgspec escapes as RFC 8785 says: a test compares every character. It writes UUIDs
    # as `str` does, and most times as `canonical_time`, at a tenth of the cost.
    return _encode(
        {
            "actor": row.actor,
            "causation_id": row.causation_id,
            "command_id": row.command_id,
            "correlation_id": row.correlation_id,
            "execution_id": row.execution_id,
            "ledger_id": ledger_id,
            "occurred_at": None if row.occurred_at is None else _time(row.occurred_at),
            "payload_digest": row.payload_digest.hex(),
            "reason": row.reason,
            "recorded_at": _time(row.recorded_at),
            "schema_version": row.schema_version,
            "trace_id": row.trace_id,
            "type": row.type,
            "version": row.version,
        }
    )


def leaf_hash(ledger_id: str, row: EventRow) -> bytes:
    """The RFC 9162 leaf hash of one event: SHA-256 of 0x00 ‖ canonical form."""
    return sha256(b"\x00" + canonical_form(ledger_id, row)).digest()


def _time(time: datetime) -> datetime | str:
    """What msgspec writes as the canonical time; it leaves out a fraction that is zero."""
    return time if time.microsecond and time.tzinfo is UTC else canonical_time(time)


def canonical_time(time: datetime) -> str:
    """UTC with six digits of a second, as 2026-01-31T08:00:00.000000Z."""
    time = time if time.tzinfo is UTC else time.astimezone(UTC)
    return time.isoformat(timespec="microseconds")[:-6] + "Z"  # without +00:00
