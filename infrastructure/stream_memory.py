"""What the connections of a pool last saw of entities, so that a command on one of them needs no read.

Nothing rests on it being right: the append guards what was decided by the version, the lease token and the time of the
last event, and what a remembered state refuses or leaves as it is, is decided again on what the database says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Pool

from ..domain import StreamState

_CAPACITY = 4096
"""Entities remembered for each pool, some 600 bytes each beside the row."""
_ROW = 8192
"""Characters of text in the largest row that is remembered."""


class Remembered(NamedTuple):
    """An entity as an append left it."""

    state: StreamState
    row: Mapping[str, Any] | None
    """The projected row, JSON as text; None where it is large, or was removed."""


class StreamMemory:
    """The entities used last, by id and by key; for all threads."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, int | None], Remembered] = OrderedDict()
        self._ids: dict[tuple[str, str], int | None] = {}
        self._lock = Lock()

    def recall(self, ledger: str, target: int | str | None) -> Remembered | None:
        """What was last seen of an entity, named by its id or its key, if it is remembered."""
        with self._lock:
            id = self._ids.get((ledger, target)) if isinstance(target, str) else target
            entry = self._entries.get((ledger, id))
            if entry is not None:
                self._entries.move_to_end((ledger, id))
            return entry

    def remember(self, ledger: str, state: StreamState, row: Mapping[str, Any] | None) -> None:
        """Keep what an append left."""
        if row is not None and sum(len(value) for value in row.values() if type(value) is str) > _ROW:
            row = None
        with self._lock:
            self._drop(ledger, state.id)  # after a restore, it may have been another entity's number
            self._entries[ledger, state.id] = Remembered(state, row)
            self._ids[ledger, state.key] = state.id
            if len(self._entries) > self._capacity:
                self._drop(*next(iter(self._entries)))

    def forget(self, ledger: str, state: StreamState) -> None:
        """It is not what the database has."""
        with self._lock:
            self._drop(ledger, state.id)

    def _drop(self, ledger: str, id: int | None) -> None:
        entry = self._entries.pop((ledger, id), None)
        if entry is not None and self._ids.get((ledger, entry.state.key)) == id:
            del self._ids[ledger, entry.state.key]


_memories: WeakKeyDictionary[Pool, StreamMemory] = WeakKeyDictionary()


def memory_of(connection: Connection) -> StreamMemory:
    """The memory of the pool that a connection is from: one database, for as long as the pool lives."""
    pool = connection.engine.pool
    memory = _memories.get(pool)
    if memory is None:
        memory = _memories.setdefault(pool, StreamMemory())
    return memory
