"""Server-sent events: the feed of a ledger and the replay of a run, read by lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec


class Message(NamedTuple):
    """One event of a stream."""

    id: str | None
    event: str
    data: Any
    """Decoded JSON."""


class MessageReader:
    """Makes messages of lines, by the rules of the HTML standard as far as the service uses them."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}

    def feed(self, line: str) -> Iterator[Message]:
        """Take one line; the message that it ends, if it ends one."""
        if line:
            name, _, value = line.partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return
        fields, self._fields = self._fields, {}
        if "data" in fields:
            id = fields["id"][-1] if "id" in fields else None
            event = fields["event"][-1] if "event" in fields else "message"
            yield Message(id, event, msgspec.json.decode("\n".join(fields["data"])))
