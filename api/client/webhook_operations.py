"""What can be asked of the service about webhooks; arguments are those of `WebhookControl`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import msgspec

from ...infrastructure.settings import LONGEST_WEBHOOK_TIMEOUT
from ...infrastructure.webhooks import Attempt, DeadLetter, Endpoint, NewEndpoint
from .calls import Call, as_type, member, nothing, quoted

_WHILE_SENDING = LONGEST_WEBHOOK_TIMEOUT + 30
"""Seconds that the service may take for what it asks a webhook or a name server for, and then notes."""

# What makes a secret or a delivery is not sent again where nobody knows whether it arrived: it would be made twice.


def webhooks() -> Call[list[Endpoint]]:
    """The webhooks of the ledger, and how each is doing."""
    return Call("GET", "webhooks", member("webhooks", list[Endpoint]))


def webhook(endpoint_id: str) -> Call[Endpoint]:
    """How one is doing."""
    return Call("GET", _path(endpoint_id), as_type(Endpoint))


def add_webhook(
    url: str, *, types: Iterable[str] | None = None, description: str | None = None, after: int | None = None
) -> Call[NewEndpoint]:
    """Have events sent to a URL: those of some types or all, from now on or behind a position."""
    given = {"url": url, "types": None if types is None else list(types), "description": description, "after": after}
    body = {name: value for name, value in given.items() if value is not None}
    return Call("POST", "webhooks", _new, body=body, repeatable=False, seconds=_WHILE_SENDING)


def change_webhook(endpoint_id: str, changes: Mapping[str, Any]) -> Call[Endpoint]:
    """Set `url`, `types`, `description`, `enabled`, or `after`: go on behind that position."""
    return Call("PATCH", _path(endpoint_id), as_type(Endpoint), body=dict(changes), seconds=_WHILE_SENDING)


def remove_webhook(endpoint_id: str) -> Call[None]:
    """Forget it, with its dead letters."""
    return Call("DELETE", _path(endpoint_id), nothing, repeatable=False)


def rotate_webhook_secret(endpoint_id: str, *, overlap: float = 0.0) -> Call[NewEndpoint]:
    """Another secret; for `overlap` seconds messages are signed with the old one, too."""
    return Call("POST", _path(endpoint_id, "rotate-secret"), _new, body={"overlap": overlap}, repeatable=False)


def test_webhook(endpoint_id: str) -> Call[Attempt]:
    """Have a message sent to it that tells of nothing; what it answered."""
    return Call("POST", _path(endpoint_id, "test"), as_type(Attempt), repeatable=False, seconds=_WHILE_SENDING)


def dead_letters(endpoint_id: str, *, after: int = 0, limit: int = 100) -> Call[list[DeadLetter]]:
    """A page of its dead letters, in order; page on with `after` the position of the last one."""
    query = {"after": after, "limit": limit}
    return Call("GET", _path(endpoint_id, "dead-letters"), member("dead_letters", list[DeadLetter]), query)


def replay_dead_letter(endpoint_id: str, position: int) -> Call[Attempt]:
    """Have a dead letter sent once more; what was answered."""
    path = _path(endpoint_id, "dead-letters", str(position), "replay")
    return Call("POST", path, as_type(Attempt), repeatable=False, seconds=_WHILE_SENDING)


def drop_dead_letter(endpoint_id: str, position: int) -> Call[None]:
    """Forget a dead letter; `UnknownDeadLetter` where there is none."""
    return Call("DELETE", _path(endpoint_id, "dead-letters", str(position)), nothing, repeatable=False)


def _path(endpoint_id: str, *parts: str) -> str:
    return "/".join(("webhooks", quoted("endpoint_id", endpoint_id), *parts))


def _new(response: httpx.Response) -> NewEndpoint:
    body = msgspec.json.decode(response.content)
    return NewEndpoint(msgspec.convert(body["webhook"], Endpoint), body["secret"])
