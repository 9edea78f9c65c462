"""Events to rows and back: a typed JSON codec over the closed catalog, with upcasting of old payloads."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from ..domain import Catalog, Context, EventRow, Limits, leaf_hash, payload_digest
from ..domain.leaf import new_salt
from ..domain.payloads import Erased

_encode = msgspec.json.Encoder().encode
_NO_DIGEST = b""


def encode_event(
    event: Any, ledger: str, command_id: str | None, limits: Limits, *, salt: bytes | None = None
) -> EventRow:
    """The row of a new event, hashes included; it is made before any lock is taken. A `salt` is random if left out."""
    data = _encode(event.data)
    limits.check_payload(event.TOPIC, data)
    salt = salt or new_salt()
    context: Context = event.context
    row = EventRow(
        execution_id=event.originator_id,
        version=event.originator_version,
        type=event.TOPIC,
        schema_version=event.class_version,
        data=data.decode(),
        salt=salt,
        payload_digest=payload_digest(salt, data),
        leaf_hash=_NO_DIGEST,
        recorded_at=event.timestamp,
        occurred_at=context.occurred_at,
        actor=context.actor,
        reason=context.reason,
        correlation_id=context.correlation_id,
        causation_id=context.causation_id,
        trace_id=context.trace_id,
        command_id=command_id,
    )
    return row._replace(leaf_hash=leaf_hash(ledger, row))


def decode_event(row: Any, catalog: Catalog) -> Any:
    """The domain event of a row of `execution_events` (attributes by column name)."""
    return make_event(
        catalog,
        topic=row.type,
        schema_version=row.schema_version,
        originator_id=row.execution_id,
        originator_version=row.version,
        timestamp=row.recorded_at,
        context=Context(
            actor=row.actor,
            reason=row.reason,
            correlation_id=row.correlation_id,
            causation_id=row.causation_id,
            trace_id=row.trace_id,
            occurred_at=row.occurred_at,
        ),
        data=row.data,
    )


def make_event(
    catalog: Catalog,
    *,
    topic: str,
    schema_version: int,
    originator_id: UUID,
    originator_version: int,
    timestamp: datetime,
    context: Context,
    data: str | bytes | None,
) -> Any:
    """A domain event from its stored parts. An older payload is led to today's by `upcast_v1_v2` and so on."""
    kind = catalog.find(topic, schema_version)
    payload = decode_payload(kind, schema_version, data)
    state: dict[str, Any] = {
        "originator_id": originator_id,
        "originator_version": originator_version,
        "timestamp": timestamp,
        "context": context,
        "data": payload,
    }
    if "originator_topic" in kind.__dataclass_fields__:
        state["originator_topic"] = catalog.aggregate_topic(topic)
    # As the library's own mapper does: a stored fact is not checked again.
    event = object.__new__(kind)
    object.__setattr__(event, "__dict__", state)
    return event


def decode_payload(kind: Any, schema_version: int, data: str | bytes | None) -> Any:
    """The payload of a stored event of a class, led to today's schema version."""
    if data is None:
        return Erased()
    if schema_version == kind.class_version:
        return msgspec.json.decode(data, type=kind.payload)
    raw = msgspec.json.decode(data)
    for version in range(schema_version, kind.class_version):
        getattr(kind, f"upcast_v{version}_v{version + 1}")(raw)
    return msgspec.convert(raw, kind.payload)
