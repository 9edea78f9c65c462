"""Where a page ends, and the next or the previous one goes on: an opaque text that belongs to one query."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from ...domain import InvalidInput
from .filters import Filters


class Cursor(NamedTuple):
    """An event at the edge of a page, and in which direction the page lies that is asked for."""

    query: str
    """What `query_id` makes of the query."""
    ledger: str
    position: int
    previous: bool

    def encode(self) -> str:
        """An opaque text for the next call."""
        return base64.urlsafe_b64encode(msgspec.json.encode(tuple(self))).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, query: str, ledgers: Sequence[str]) -> Cursor:
        """Read such a text, made by a page of the same query over these ledgers."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            cursor = cls(*msgspec.json.decode(raw, type=tuple[str, str, int, bool]))
        except (AttributeError, TypeError, ValueError, binascii.Error, msgspec.MsgspecError) as error:
            raise InvalidInput(
                field="cursor",
                problem="is not a cursor",
                remedy="Use a page's next_cursor or previous_cursor as it is.",
            ) from error
        if cursor.query != query or cursor.ledger not in ledgers:
            raise InvalidInput(
                field="cursor",
                problem="belongs to another query",
                remedy="Go on with the same filters, ledgers and order, or leave the cursor out.",
            )
        return cursor


def query_id(ledgers: Sequence[str], filters: Filters, *, newest_first: bool) -> str:
    """The same text for the same query."""
    return sha256(msgspec.json.encode([ledgers, filters.given(), newest_first])).hexdigest()[:16]
