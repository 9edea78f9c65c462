"""Build a projection anew beside the live one, look how they differ, swap it in, and roll that back if need be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from sqlalchemy import Connection, Engine

from ...domain import check_ledger
from ...infrastructure.database_errors import translated
from ...infrastructure.short_transactions import short_transaction
from ..engine.protocol import Projection
from .rebuild_follower import FollowerTarget
from .rebuild_history import HistoryTarget
from .rebuild_state import RebuildState, State
from .row_sets import TableDifference


class RebuildProgress(msgspec.Struct, frozen=True):
    """How far a rebuild is."""

    done: int
    total: int
    unit: str


Progress = Callable[[RebuildProgress], object]


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """How what was built differs from what is live, as of a position."""

    projection: str
    ledger: str
    position: int
    tables: list[TableDifference]

    @property
    def differences(self) -> int:
        """Rows that differ."""
        return sum(table.total for table in self.tables)


class Target(Protocol):
    """One kind of projection, as it is rebuilt."""

    name: str
    unit: str

    def begin(self, connection: Connection) -> int:
        """Remove what an earlier rebuild left, and answer the position to begin at."""
        ...

    def build(self, connection: Connection, state: State, keep: RebuildState) -> tuple[int, int] | None:
        """Build the next page, and answer how many of how many are done; None where all are."""
        ...

    def report(self, connection: Connection, state: State, keep: RebuildState) -> tuple[int, list[TableDifference]]:
        """Up to which position what was built is right, and how it differs from what is live there."""
        ...

    def prepare(self, connection: Connection, state: State, keep: RebuildState) -> None:
        """Do what can be done before the swap."""
        ...

    def swap(self, connection: Connection, state: State, keep: RebuildState) -> None:
        """Bring it up to date, and put it in place."""
        ...

    def settle(self, engine: Engine) -> None:
        """After the swap was committed: see to what had begun before it."""
        ...

    def roll_back(self, connection: Connection, state: State) -> int:
        """Put back what was there; answer how many rows were left, since they have changed meanwhile."""
        ...

    def clear(self, connection: Connection) -> None:
        """Remove what stands beside."""
        ...


class Rebuild:
    """A rebuild of one projection in one ledger: `build`, `report`, `swap`, then `finish` or `roll_back`.

    Each takes a thread for as long as it lasts. Writers and readers go on meanwhile; the swap is one transaction, which
    holds up the ledger's writers (for the history) or the projection (for others) while it lasts. A rebuild that was
    killed goes on where it was when it is built again. `projection` None is the history.
    """

    def __init__(self, engine: Engine, ledger: str = "default", projection: Projection | None = None) -> None:
        self._engine = engine
        self.ledger = check_ledger(ledger)
        self._target: Target = (
            HistoryTarget(self.ledger) if projection is None else FollowerTarget(self.ledger, projection)
        )
        self.projection = self._target.name
        self._state = RebuildState(self.projection, self.ledger)

    def build(self, progress: Progress | None = None) -> None:
        """Build everything beside the live rows, page by page in short transactions."""
        with translated():
            with short_transaction(self._engine) as connection:
                if self._state.read(connection) is None:
                    self._state.take(connection, self._target.begin(connection))
                else:
                    self._state.take(connection, 0)
            while True:
                with short_transaction(self._engine) as connection:
                    done = self._target.build(connection, self._under_way(connection), self._state)
                if done is None:
                    return
                if progress is not None:
                    progress(RebuildProgress(*done, self._target.unit))

    def report(self) -> RebuildReport:
        """What would change: rows that are missing, too many, or different."""
        with translated(), short_transaction(self._engine) as connection:
            position, tables = self._target.report(connection, self._under_way(connection), self._state)
        return RebuildReport(projection=self.projection, ledger=self.ledger, position=position, tables=tables)

    def swap(self) -> None:
        """Put what was built in place, in one transaction, brought up to date. What it replaces is kept for a while.

        Until `finish`, that is.
        """
        with translated():
            with short_transaction(self._engine) as connection:
                state = self._under_way(connection, prepared=True)
                if state.phase == "building":
                    self._target.prepare(connection, state, self._state)
                    self._state.step(connection, phase="prepared")
            with short_transaction(self._engine) as connection:
                self._target.swap(connection, self._under_way(connection, prepared=True), self._state)
                self._state.step(connection, phase="swapped")
            self._target.settle(self._engine)

    def roll_back(self) -> int:
        """Put back what was replaced, and answer how many rows were left as they are, since they have changed."""
        with translated(), short_transaction(self._engine) as connection:
            left = self._target.roll_back(connection, self._state.swapped(connection))
            self._target.clear(connection)
            self._state.end(connection)
            return left

    def finish(self) -> None:
        """Forget what was replaced; or give up what is being built."""
        with translated(), short_transaction(self._engine) as connection:
            self._target.clear(connection)
            self._state.end(connection)

    def _under_way(self, connection: Connection, *, prepared: bool = False) -> State:
        state = self._state.read(connection)
        if state is None:
            raise self._state.refused("is not under way", "Build it first.")
        if state.phase == "swapped":
            raise self._state.refused("is swapped in already", "Finish it or roll it back.")
        if state.phase == "prepared" and not prepared:
            raise self._state.refused("was about to be swapped in", "Swap it in, or finish it and begin anew.")
        return state
