"""Events of a ledger as CloudEvents 1.0, which any tool of that family reads. `docs/cloudevents.md` says the same."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from .recorded_event import RecordedEvent

STRUCTURED = "application/cloudevents+json"
"""Media type of one event."""
BATCH = "application/cloudevents-batch+json"
"""Media type of a list of them."""
TYPE_PREFIX = "org.executionledger."
"""Precedes the stored name in `type`; never changes."""

_NONCHARACTERS = "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef{_NONCHARACTERS}]")
"""What no text of an attribute may hold. A job id may, and a reason does: it has lines."""


def cloud_event(event: RecordedEvent, source: str) -> dict[str, Any]:
    """The event in the JSON format; `source` is the URI of the installation, which the name of the ledger follows.

    What it lacks is left out, since some readers take no null; only `data` is null once the payload was erased.
    """
    identity = _text(f"{event.ledger_id}/{event.position}")
    attributes = {
        "specversion": "1.0",
        "id": identity,
        "source": source_of(event.ledger_id, source),
        "type": TYPE_PREFIX + event.type,
        "subject": _text(event.job_id),
        "time": event.at,
        "datacontenttype": "application/json",
        "ledger": _text(event.ledger_id),
        # As text: a number of an attribute has 32 bits.
        "position": str(event.position),
        "sequence": f"{event.position:019}",
        "streamid": event.execution_id,
        "streamversion": str(event.version),
        "schemaversion": event.schema_version,
        "recordedtime": event.recorded_at,
        "actor": _text(event.actor),
        "reason": _text(event.reason),
        "correlationid": _text(event.correlation_id),
        "causationid": _text(event.causation_id),
        "commandid": _text(event.command_id),
        "traceparent": _traceparent(event.trace_id, identity),
    }
    return {name: value for name, value in attributes.items() if value is not None} | {"data": event.data}


def source_of(ledger: str, source: str) -> str:
    """The URI of a ledger."""
    return source + quote(ledger, safe="")


def _text(value: str | None) -> str | None:
    """A text with what is forbidden percent-encoded."""
    if value is None:
        return None
    return _FORBIDDEN.sub(lambda found: quote(found[0]), value)


def _traceparent(trace_id: str | None, identity: str | None) -> str | None:
    """W3C trace context. The ledger keeps the trace and no span: that of the event is made up, always the same."""
    if trace_id is None:
        return None
    return f"00-{trace_id}-{sha256(str(identity).encode()).hexdigest()[:16]}-01"
