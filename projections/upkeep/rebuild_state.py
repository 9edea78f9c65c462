"""Where a rebuild is: kept in the database, so that another process can go on with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select, update

from ...domain import RebuildRefused
from ...infrastructure.event_store import utc_now
from ...infrastructure.tables import projection_rebuilds

STALE = timedelta(seconds=60)
"""After so long without a sign of life, another process may take a rebuild over."""

Phase = Literal["building", "prepared", "swapped"]


class State(NamedTuple):
    """A row of `projection_rebuilds`."""

    owner: str
    phase: Phase
    position: int
    """Up to which position of the ledger the built rows are right, once all were built."""
    done_id: int
    """Executions up to this id were built."""
    earlier_position: int | None
    """Where the checkpoint was before the swap."""


class RebuildState:
    """The state of one rebuild, as its owner sees it."""

    def __init__(self, projection: str, ledger: str) -> None:
        self._projection = projection
        self._ledger = ledger
        self._owner = uuid4().hex
        row = projection_rebuilds.c
        self._here = (row.ledger_id == ledger, row.projection == projection)

    def read(self, connection: Connection) -> State | None:
        """What there is; None where none is under way."""
        names = (projection_rebuilds.c[name] for name in State._fields)
        row = connection.execute(select(*names).where(*self._here)).one_or_none()
        return None if row is None else State(*row)

    def take(self, connection: Connection, position: int) -> State:
        """Begin at a position, or go on with one that nobody works on any more."""
        row = projection_rebuilds.c
        locked = select(row.owner, row.phase, row.updated_at).where(*self._here).with_for_update()
        found = connection.execute(locked).one_or_none()
        if found is None:
            values = {"ledger_id": self._ledger, "projection": self._projection, "owner": self._owner}
            values |= {"phase": "building", "position": position, "done_id": 0, "updated_at": utc_now()}
            connection.execute(insert(projection_rebuilds).values(**values))
        elif found.phase == "swapped":
            raise self.refused("is swapped in already", "Finish it or roll it back first.")
        elif found.owner != self._owner and found.updated_at > utc_now() - STALE:
            raise self.refused(
                "is under way in another process", f"Wait for it; if it died, try again after {STALE.seconds} seconds."
            )
        else:
            self._set(connection, owner=self._owner)
        state = self.read(connection)
        assert state is not None
        return state

    def step(self, connection: Connection, **values: Any) -> None:
        """Keep how far it is. Refused where another process has taken over."""
        if not self._set(connection, projection_rebuilds.c.owner == self._owner, **values):
            raise self.refused("was taken over by another process", "Leave it to that one.")

    def swapped(self, connection: Connection) -> State:
        """The state of what was swapped in; refused where nothing was."""
        state = self.read(connection)
        if state is None or state.phase != "swapped":
            raise self.refused("is not swapped in", "Swap it in first.")
        return state

    def end(self, connection: Connection) -> None:
        """It is over."""
        connection.execute(delete(projection_rebuilds).where(*self._here))

    def refused(self, problem: str, remedy: str) -> RebuildRefused:
        """Why it cannot go on."""
        return RebuildRefused(projection=self._projection, ledger=self._ledger, problem=problem, remedy=remedy)

    def _set(self, connection: Connection, *also: Any, **values: Any) -> bool:
        changed = update(projection_rebuilds).where(*self._here, *also).values(**values, updated_at=utc_now())
        return bool(connection.execute(changed).rowcount)
