"""Server-sent events: the feed of a ledger and the replay of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import msgspec


class Message(NamedTuple):
    """One event of a stream."""

    id: str | None
    event: str
    data: Any
    """Decoded JSON."""


def is_stream(response: httpx.Response) -> bool:
    """Whether the answer is a stream of events."""
    return response.is_success and response.headers.get("Content-Type", "").startswith("text/event-stream")


class MessageReader:
    """Makes messages of bytes, by the rules of the HTML standard as far as the service uses them.

    Lines end with a line feed alone: what else Unicode calls a line's end may be part of the data.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[bytes, list[bytes]] = {}

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take what came; the messages that it ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield from self._take(line.removesuffix(b"\r"))

    def _take(self, line: bytes) -> Iterator[Message]:
        if line:
            name, _, value = line.partition(b":")
            self._fields.setdefault(name, []).append(value.removeprefix(b" "))
            return
        fields, self._fields = self._fields, {}
        if b"data" in fields:
            id = fields[b"id"][-1].decode() if b"id" in fields else None
            event = fields[b"event"][-1].decode() if b"event" in fields else "message"
            yield Message(id, event, msgspec.json.decode(b"\n".join(fields[b"data"])))
