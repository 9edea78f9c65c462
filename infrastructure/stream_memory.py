"""What the connections of a pool last saw of streams, so that a command on one of them needs no read.

Nothing rests on it being right: the append guards what was decided, and what a remembered state refuses or leaves as it
is, is decided again on what the database says.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Pool

from ..domain import StreamState

_CAPACITY = 4096
"""Streams remembered for each pool, some 600 bytes each."""


class StreamMemory:
    """The newest states of the streams used last, by id and by key; for all threads."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._states: OrderedDict[tuple[str, int | None], StreamState] = OrderedDict()
        self._ids: dict[tuple[str, str], int | None] = {}
        self._lock = Lock()

    def recall(self, ledger: str, target: int | str) -> StreamState | None:
        """The state last seen of an entity, named by its id or its key, if it is remembered."""
        with self._lock:
            id = self._ids.get((ledger, target)) if isinstance(target, str) else target
            state = self._states.get((ledger, id))
            if state is not None:
                self._states.move_to_end((ledger, id))
            return state

    def remember(self, ledger: str, state: StreamState) -> None:
        """Keep the state that an append left."""
        with self._lock:
            self._states[ledger, state.id] = state
            self._states.move_to_end((ledger, state.id))
            self._ids[ledger, state.key] = state.id
            if len(self._states) > self._capacity:
                (of_ledger, _), oldest = self._states.popitem(last=False)
                del self._ids[of_ledger, oldest.key]

    def forget(self, ledger: str, state: StreamState) -> None:
        """It is not what the database has."""
        with self._lock:
            if self._states.pop((ledger, state.id), None) is not None:
                del self._ids[ledger, state.key]


_memories: WeakKeyDictionary[Pool, StreamMemory] = WeakKeyDictionary()


def memory_of(connection: Connection) -> StreamMemory:
    """The memory of the pool that a connection is from: one database, for as long as the pool lives."""
    pool = connection.engine.pool
    memory = _memories.get(pool)
    if memory is None:
        memory = _memories.setdefault(pool, StreamMemory())
    return memory
