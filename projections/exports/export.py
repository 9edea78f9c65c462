"""A ledger's events as a stream of bytes: consistent, in constant memory, in short transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple, Unpack

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from ...domain import EventMissing, Tree, check_ledger
from ...infrastructure.root import add_leaves, read_size
from ...infrastructure.short_transactions import transact
from ..audit import EventFilters, Filters, Found, Scan
from .formats import make_format
from .manifest import FORMAT_VERSION, Manifest
from .rows import HASHES

_ROWS, _DATA, _SCAN = 2_000, 4 * 1024 * 1024, 20_000
"""Rows, characters of payloads and candidates of one page, each of which is one short transaction."""


class ExportProgress(NamedTuple):
    """How far an export has come."""

    position: int
    """The last one that was looked at."""
    size: int
    """The one it ends at."""
    rows: int


class EventExport:
    """One export of one ledger. Read `chunks()` to the end, then `manifest` tells what they hold.

    It holds what the ledger held when it began, in the order of positions. `engine` is one of yours or of
    `create_engine`: every page is read on a connection of its own, so a slow reader holds up nobody.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        ledger: str = "default",
        format: str = "jsonl",
        on_progress: Callable[[ExportProgress], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        **filters: Unpack[EventFilters],
    ) -> None:
        self._engine = engine
        self.ledger = check_ledger(ledger)
        self.filters = Filters.of(dict(filters))
        self.format = format
        self._format = make_format(format)
        self._on_progress = on_progress
        self._clock = clock
        self._tree = Tree()
        self.size: int | None = None
        """The events that the ledger had when it began; None before the first chunk."""
        self.manifest: Manifest | None = None
        """None until the last chunk was read."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file, once: a chunk for each page."""
        started, digest, length = self._clock(), sha256(), 0
        size = self.size = await transact(self._engine, lambda connection: read_size(connection, self.ledger))
        rows, first, last = 0, None, None
        pages = self._pages(size)
        async for chunk, found in pages:
            if found is not None and found.rows:
                rows += len(found.rows)
                first = found.rows[0].position if first is None else first
                last = found.rows[-1].position
            if chunk:
                digest.update(chunk)
                length += len(chunk)
                yield chunk
            if found is not None:
                self._tell(size if found.last is None else found.last, size, rows)
        root = await self._root(size)
        self.manifest = Manifest(
            format_version=FORMAT_VERSION,
            format=self.format,
            ledger=self.ledger,
            filters=self.filters.given(),
            size=size,
            root=root.hex(),
            first_position=first,
            last_position=last,
            rows=rows,
            exported_at=started,
            bytes=length,
            sha256=digest.hexdigest(),
        )

    async def _pages(self, size: int) -> AsyncIterator[tuple[bytes, Found | None]]:
        yield self._format.begin(), None
        position: int | None = 0
        while position is not None:
            found = await transact(self._engine, lambda connection, after=position: self._page(connection, size, after))
            position = found.last if found.more else None
            yield self._format.add(found.rows), found
        yield self._format.end(), None

    def _page(self, connection: Connection, size: int, after: int) -> Found:
        scan = Scan(connection, self.ledger, self.filters, size=size, most_data=_DATA, extra=HASHES)
        found = scan.after(after, backward=False).page(_ROWS, backward=False, most=_SCAN)
        if not self.filters.given():
            # All of them are here, so their leaves need not be read again.
            for row in found.rows:
                if row.position != self._tree.size + 1:
                    raise EventMissing(ledger=self.ledger, position=self._tree.size + 1, size=size)
                self._tree.append(row.leaf_hash)
        return found

    async def _root(self, size: int) -> bytes:
        while self._tree.size < size:
            await transact(self._engine, lambda connection: add_leaves(connection, self.ledger, self._tree, size))
        return self._tree.root

    def _tell(self, position: int, size: int, rows: int) -> None:
        if self._on_progress is not None:
            self._on_progress(ExportProgress(position, size, rows))
