"""What is sent: an event as a structured CloudEvent, under an id that stays the same however often it is sent."""

from __future__ import annotations

from secrets import token_hex
from typing import NamedTuple

import msgspec

from ...infrastructure.event_store import utc_now
from ..cloud_events import TYPE_PREFIX, cloud_event, source_of
from ..recorded_event import RecordedEvent


class Message(NamedTuple):
    """One delivery."""

    id: str
    """`webhook-id`. Nothing of it is anybody's choice, and it has no dot: both would weaken the signature."""
    body: bytes
    traceparent: str | None


def event_message(endpoint_id: str, event: RecordedEvent, source: str) -> Message:
    """An event for an endpoint."""
    body = cloud_event(event, source)
    return Message(f"msg_{endpoint_id}_{event.position}", msgspec.json.encode(body), body.get("traceparent"))


def make_test(endpoint_id: str, ledger: str, source: str) -> Message:
    """A message that tells of nothing that happened."""
    id = f"test_{endpoint_id}_{token_hex(8)}"
    body = {
        "specversion": "1.0",
        "id": id,
        "source": source_of(ledger, source),
        "type": f"{TYPE_PREFIX}webhook.test",
        "time": utc_now(),
        "datacontenttype": "application/json",
        "data": {},
    }
    return Message(id, msgspec.json.encode(body), None)
