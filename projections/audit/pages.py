"""A page of the audit: over one ledger or several, in either order, with ways on in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from .changes import AuditedEvent, audited
from .cursor import Cursor, query_id
from .filters import Filters
from .scan import Scan

_LAST = 2**63 - 1


class EventPage(msgspec.Struct, kw_only=True):
    """Events in order, and how to go on."""

    events: list[AuditedEvent]
    next_cursor: str | None
    """For the page behind this one; None where there is nothing now."""
    previous_cursor: str | None
    """For the page before this one; None where there is nothing, as seen on the way here."""
    complete: bool
    """False where the page ends early, perhaps without an event, because as many events were looked at as may be in one
    call: go on with `next_cursor` (going back: `previous_cursor`)."""
    scanned: int
    """Events that were looked at."""


def read_page(
    connection: Connection,
    ledgers: Sequence[str],
    filters: Filters,
    *,
    limit: int,
    cursor: str | None,
    newest_first: bool,
    max_scan: int | None,
) -> EventPage:
    """The page at a cursor; the first one without. Ledgers come one after the other, in the order given."""
    query = query_id(ledgers, filters, newest_first=newest_first)
    start = None if cursor is None else Cursor.decode(cursor, query, ledgers)
    back = start is not None and start.previous
    part = _collect(connection, ledgers, filters, start, limit=limit, newest_first=newest_first, max_scan=max_scan)
    rows = part.rows
    if back:
        rows.reverse()
    ends = [(row.ledger_id, row.position) for row in rows]
    ahead = Cursor(query, *part.edge, back).encode() if part.edge is not None else None
    # Where we came from there is something: the event that the cursor names, or one that it stood behind.
    behind = None
    if start is not None:
        near = (start.ledger, start.position + (1 if newest_first is back else -1))
        if ends:
            near = ends[-1] if back else ends[0]
        behind = Cursor(query, *near, not back).encode()
    return EventPage(
        events=audited(connection, rows),
        next_cursor=behind if back else ahead,
        previous_cursor=ahead if back else behind,
        complete=part.complete,
        scanned=part.scanned,
    )


class _Part(NamedTuple):
    """What was found in the direction of the cursor."""

    rows: list[Any]
    edge: tuple[str, int] | None
    """Ledger and position to go on behind; None where there is nothing more."""
    complete: bool
    scanned: int


def _collect(
    connection: Connection,
    ledgers: Sequence[str],
    filters: Filters,
    start: Cursor | None,
    *,
    limit: int,
    newest_first: bool,
    max_scan: int | None,
) -> _Part:
    back = start is not None and start.previous
    order = list(reversed(ledgers)) if back else list(ledgers)
    if start is not None:
        order = order[order.index(start.ledger) :]
    rows: list[Any] = []
    scanned = 0
    for ledger in order:
        beside = start.position if start is not None and ledger == start.ledger else None
        backward = newest_first is not back
        scan = Scan(connection, ledger, filters).after(beside, backward=backward)
        left = None if max_scan is None else max_scan - scanned
        if left == 0:
            return _Part(rows, (ledger, _LAST if backward else 0), False, scanned)
        found = scan.page(limit + 1 - len(rows), backward=backward, most=left)
        rows += found.rows
        scanned += found.scanned
        if len(rows) > limit:
            del rows[limit:]
            return _Part(rows, (rows[-1].ledger_id, rows[-1].position), True, scanned)
        if found.more and found.last is not None:
            return _Part(rows, (ledger, found.last), False, scanned)
    return _Part(rows, None, True, scanned)
