"""Outgoing webhooks: events of a ledger, sent to URLs as CloudEvents that are signed by Standard Webhooks.

A door of its own, which `projections` leaves shut: behind it is an HTTP client, which takes long to import.
"""

from .addresses import Guard, check_url
from .control import WebhookControl
from .deliverer import Deliverer
from .messages import Message, event_message, make_test
from .retries import Retries
from .sender import Sender

__all__ = [
    "Deliverer",
    "Guard",
    "Message",
    "Retries",
    "Sender",
    "WebhookControl",
    "check_url",
    "event_message",
    "make_test",
]
