"""The lines of a backup: JSON arrays, each of a kind that its first element names. `docs/backup.md` says the same."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import astuple
from sqlalchemy import LargeBinary, Table, Uuid

from ...domain import EXECUTION_CATALOG, EventRow, InvalidInput, Payload, leaf_hash, payload_digest, stream_id
from ...infrastructure.codec import decode_payload
from ...infrastructure.loading import Arrival
from ...infrastructure.tables import api_keys, command_receipts, execution_leases
from ...infrastructure.types import UTCDateTime

FORMAT = "execution-ledger backup"
VERSION = 1

BESIDE: dict[str, Table] = {table.name: table for table in (command_receipts, execution_leases, api_keys)}
"""What a ledger has that its events do not tell."""


class Header(msgspec.Struct, frozen=True, array_like=True, tag_field="line", tag="backup"):
    """The first line."""

    format: str
    version: int
    ledger: str
    size: int
    created_at: datetime
    """When the ledger was."""
    backed_up_at: datetime


class Event(msgspec.Struct, frozen=True, array_like=True, tag_field="line", tag="event"):
    """An event; the first line of them is at position 1, and so on. Bytes are base64, `data` is its text as stored."""

    id: int | None
    """The number of its execution, of the first event alone, as is the key."""
    key: str | None
    execution_id: UUID
    version: int
    type: str
    schema_version: int
    data: str | None
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

    @classmethod
    def of(cls, stored: Any) -> Event:
        """Of a row of `execution_events` with the `id` and the `key` of its execution."""
        first = stored.version == 1
        return cls(
            stored.id if first else None,
            stored.job_id if first else None,
            *(getattr(stored, name) for name in EventRow._fields),
        )

    def arrival(self) -> Arrival:
        """As it is loaded."""
        id, key, *row = astuple(self)
        return Arrival(EventRow(*row), id, key)


class Token(msgspec.Struct, frozen=True, array_like=True, tag_field="line", tag="token"):
    """The newest fencing token of an execution that ever was under a lease."""

    execution_id: UUID
    lease_token: int


class Beside(msgspec.Struct, frozen=True, array_like=True, tag_field="line", tag="row"):
    """A row of one of the tables `BESIDE`, without its ledger."""

    table: str
    values: dict[str, Any]

    @classmethod
    def of(cls, table: Table, row: Any) -> Beside:
        """Of a stored row."""
        return cls(str(table.name), {str(name): value for name, value in row._mapping.items() if name != "ledger_id"})

    def row(self, ledger: str) -> dict[str, Any]:
        """The row of that ledger."""
        table = BESIDE.get(self.table)
        if table is None or self.values.keys() | {"ledger_id"} != set(table.columns.keys()):
            raise InvalidInput(
                field="FILE",
                problem=f"rows of {self.table} are not as this version knows them",
                remedy="Take one that is whole, or upgrade execution-ledger.",
            )
        try:
            values = {name: _from_json(table.c[name].type, value) for name, value in self.values.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(
                field="FILE", problem=f"a row of {self.table} cannot be read: {error}", remedy="Take one that is whole."
            ) from error
        return values | {"ledger_id": ledger}


class End(msgspec.Struct, frozen=True, array_like=True, tag_field="line", tag="end"):
    """The last line: without it, the file is cut off."""

    size: int
    root: bytes
    """The RFC 9162 root at that size."""
    digest: bytes
    """SHA-256 of all lines before this one."""


Line = Header | Event | Token | Beside | End


def check_event(ledger: str, position: int, arrival: Arrival) -> None:
    """Refuse an event that is not as it was appended, or that cannot be loaded."""
    row, id, key, _ = arrival
    # First, since what is not as it was may be of no type that there is, or no JSON.
    intact = row.data is None or row.payload_digest == payload_digest(row.salt or b"", row.data.encode())
    if not intact or row.leaf_hash != leaf_hash(ledger, row):
        raise InvalidInput(
            field="FILE",
            problem=f"event {position} of ledger {ledger!r} does not have the hashes that it was appended with",
            remedy="Somebody or something changed it; `execution-ledger verify --hashes` shows all such events.",
        )
    kind = EXECUTION_CATALOG.find(row.type, row.schema_version)
    if row.version == 1 and not _names(ledger, row, id, key, decode_payload(kind, row.schema_version, row.data)):
        raise InvalidInput(
            field="FILE",
            problem=f"event {position} of ledger {ledger!r} begins an execution that has lost its number or its key",
            remedy="`execution-ledger verify` shows what is wrong with the ledger.",
        )


def _names(ledger: str, row: EventRow, id: int | None, key: str | None, payload: Payload) -> bool:
    """Whether a number and a key are those of the execution that an event begins."""
    told = payload.changes()
    if id is None or key is None or told.get("id", id) != id:
        return False
    return told["job_id"] == key if told else stream_id(ledger, key) == row.execution_id


def _from_json(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, LargeBinary):
        return b64decode(value)
    if isinstance(kind, UTCDateTime):
        return datetime.fromisoformat(value)
    return UUID(value) if isinstance(kind, Uuid) else value
