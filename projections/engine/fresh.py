"""Reads that are not older than a write: they wait until the position of the write has been projected."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncSession

from ...domain import NotProjected
from ...domain.values import check_int, check_seconds
from ...infrastructure.database_errors import translated
from ...infrastructure.root import read_size
from .checkpoints import read_checkpoint

_FIRST, _LONGEST = 0.005, 0.25
"""Seconds between two looks, growing."""

_seen: WeakKeyDictionary[Any, dict[tuple[str | None, str], int]] = WeakKeyDictionary()
"""The furthest position that was seen, by engine: what has it already is not asked again."""


class Freshness(NamedTuple):
    """How old an answer may be."""

    min_position: int | None = None
    """Position in the ledger that the answer must know of: `Outcome.position`, or that of a repository."""
    wait: float = 5.0
    """Seconds to wait for it at most."""

    @classmethod
    def of(cls, min_position: int | None, wait: float) -> Freshness:
        """Checked."""
        return cls(
            None if min_position is None else check_int(min_position, "min_position", 0), check_seconds(wait, "wait")
        )


async def wait_until_fresh(
    session: AsyncSession, ledger: str, freshness: Freshness, projection: str | None = None
) -> None:
    """Wait until a projection has read the ledger up to a position; without one, until the ledger itself is that long.

    Raises `NotProjected` where it takes longer than it may. Looks on connections of its own where it can, since a
    session on SQLite sees the database as it was when it first read.
    """
    least = freshness.min_position
    if not least:
        return
    bind = session.get_bind()
    seen = _seen.setdefault(bind.engine, {})
    deadline, delay = time.monotonic() + freshness.wait, _FIRST
    while seen.get((projection, ledger), 0) < least:
        with translated():
            position = await session.run_sync(lambda _: _look(bind, ledger, projection))
        seen[projection, ledger] = max(position, seen.get((projection, ledger), 0))
        if position >= least:
            return
        if time.monotonic() >= deadline:
            what = "the database" if projection is None else f"the projection {projection!r}"
            raise NotProjected(ledger=ledger, what=what, position=position, min_position=least)
        await asyncio.sleep(min(delay, max(0.0, deadline - time.monotonic())))
        delay = min(2 * delay, _LONGEST)


def _look(bind: Engine | Connection, ledger: str, projection: str | None) -> int:
    if isinstance(bind, Connection):
        return _position(bind, ledger, projection)
    with bind.connect() as connection:
        return _position(connection, ledger, projection)


def _position(connection: Connection, ledger: str, projection: str | None) -> int:
    return (
        read_size(connection, ledger)
        if projection is None
        else read_checkpoint(connection, projection, ledger).position
    )
