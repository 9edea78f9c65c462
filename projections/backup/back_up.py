"""A ledger to a file: consistent, in constant memory, in short transactions, while others go on to write."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
from sqlalchemy import Engine, Table, select

from ...domain import EventMissing, EventRow, InvalidInput, Tree, check_ledger
from ...infrastructure.database_errors import translated
from ...infrastructure.tables import command_receipts, execution_events, execution_streams, ledgers
from ..exports import appearing
from .lines import BESIDE, FORMAT, VERSION, Beside, End, Event, Header, Token, check_event

_PAGE, _DATA = 2_000, 8 * 1024 * 1024
"""Rows, and characters of payloads, of one short transaction."""
_FETCH = 25
"""Rows that a driver holds beside."""
_LEVEL = 6
_encode = msgspec.json.Encoder().encode


class BackUp(NamedTuple):
    """What a backup holds."""

    ledger: str
    size: int
    root: bytes


def back_up_to_file(
    engine: Engine,
    path: str | os.PathLike[str],
    *,
    ledger: str = "default",
    overwrite: bool = False,
    on_progress: Callable[[int, int], object] | None = None,
) -> BackUp:
    """Write all that a ledger holds now; `on_progress` is told of the events that were written, and of all.

    The file appears whole under its name, or not at all.
    """
    with appearing(Path(path), overwrite=overwrite, private=True) as file:
        return back_up_to_stream(engine, file, ledger=ledger, on_progress=on_progress)


def back_up_to_stream(
    engine: Engine, file: BinaryIO, *, ledger: str = "default", on_progress: Callable[[int, int], object] | None = None
) -> BackUp:
    """The same into a file that is open. What is cut off there is refused when it is read."""
    tell = on_progress or (lambda done, size: None)
    check_ledger(ledger)
    with translated(), engine.connect() as connection:
        head = connection.execute(select(ledgers).where(ledgers.c.ledger_id == ledger)).one_or_none()
    if head is None:
        raise InvalidInput(field="ledger", problem=f"there is no ledger {ledger!r}", remedy="Name one that there is.")
    tree, size, digest = Tree(), head.size, sha256()
    # Without a name and a time in it: the same ledger gives the same bytes, but for the time in the header.
    with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as lines:

        def add(line: Any) -> None:
            text = _encode(line) + b"\n"
            digest.update(text)
            lines.write(text)

        add(Header(FORMAT, VERSION, ledger, size, head.created_at, datetime.now(UTC)))
        while tree.size < size:
            for stored in _page(engine, ledger, tree.size, size):
                if stored.position != tree.size + 1:
                    raise EventMissing(ledger=ledger, position=tree.size + 1, size=size)
                event = Event.of(stored)
                check_event(ledger, stored.position, event.arrival())
                tree.append(stored.leaf_hash)
                add(event)
            tell(tree.size, size)
        for line in _beside(engine, ledger, size):
            add(line)
        add(End(size, tree.root, digest.digest()))
    return BackUp(ledger, size, tree.root)


def _page(engine: Engine, ledger: str, after: int, size: int) -> Any:
    event, stream = execution_events.c, execution_streams.c
    ours = (stream.ledger_id == event.ledger_id) & (stream.execution_id == event.execution_id) & (event.version == 1)
    page = (
        select(event.position, *(event[name] for name in EventRow._fields), stream.id, stream.job_id)
        .outerjoin_from(execution_events, execution_streams, ours)
        .where(event.ledger_id == ledger, event.position > after, event.position <= size)
        .order_by(event.position)
        .limit(_PAGE)
    )
    found: list[Any] = []
    data = 0
    with (
        translated(),
        engine.connect() as connection,
        connection.execute(page.execution_options(yield_per=_FETCH)) as rows,
    ):
        for row in rows:
            found.append(row)
            data += len(row.data or "")
            if data > _DATA:
                break
    if not found:
        raise EventMissing(ledger=ledger, position=after + 1, size=size)
    return found


def _beside(engine: Engine, ledger: str, size: int) -> Iterator[Token | Beside]:
    stream, receipt = execution_streams.c, command_receipts.c
    tokens = select(stream.id, stream.execution_id, stream.lease_token)
    tokens = tokens.where(stream.ledger_id == ledger, stream.lease_token > 0, _was_there(stream, ledger, size))
    for row in _pages(engine, tokens, (stream.id,)):
        yield Token(row.execution_id, row.lease_token)
    for table in BESIDE.values():
        rows = select(table).where(table.c.ledger_id == ledger)
        if table is command_receipts:  # what came later is no part of this
            rows = rows.where((receipt.first_position + receipt.event_count <= size + 1) | (receipt.event_count == 0))
        elif "execution_id" in table.c:
            rows = rows.where(_was_there(table.c, ledger, size))
        for row in _pages(engine, rows, _keys(table)):
            yield Beside.of(table, row)


def _was_there(of: Any, ledger: str, size: int) -> Any:
    """Whether an execution began at a position up to the size."""
    event = execution_events.c
    first = (event.ledger_id == ledger) & (event.execution_id == of.execution_id) & (event.version == 1)
    return select(1).where(first, event.position <= size).exists()


def _keys(table: Table) -> tuple[Any, ...]:
    return tuple(column for column in table.primary_key.columns if column.name != "ledger_id")


def _pages(engine: Engine, rows: Any, keys: tuple[Any, ...]) -> Iterator[Any]:
    """Rows in the order of a key of one column, page by page."""
    [key] = keys
    after: Any = None
    while True:
        page = rows.order_by(key).limit(_PAGE)
        with translated(), engine.connect() as connection:
            found = connection.execute(page if after is None else page.where(key > after)).all()
        yield from found
        if len(found) < _PAGE:
            return
        after = getattr(found[-1], key.name)
