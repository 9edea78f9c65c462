"""A following projection built anew: its handlers are given the same events, under another ledger's name."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Engine, delete, select

from ...infrastructure.root import read_size
from ...infrastructure.tables import projection_checkpoints, quarantined_executions
from ..beside import built, earlier
from ..engine.batch import read_events
from ..engine.checkpoints import make_checkpoint, read_checkpoint
from ..engine.checkpoints import move as move_checkpoint
from ..engine.protocol import Projection, batch_statements
from .rebuild_state import RebuildState, State
from .row_sets import TableDifference, clear, diff_sets, move

_BATCH = 1_000


class FollowerTarget:
    """The tables of a projection, of one ledger."""

    unit = "events"

    def __init__(self, ledger: str, projection: Projection) -> None:
        self.name = projection.name
        self._ledger = ledger
        self._projection = projection
        self._built, self._earlier = built(ledger), earlier(ledger)

    def begin(self, connection: Connection) -> int:
        """From the first event on."""
        self.clear(connection)
        return 0

    def build(self, connection: Connection, state: State, keep: RebuildState) -> tuple[int, int] | None:
        """The next events; all of them once only a few are left, which the swap does."""
        size = read_size(connection, self._ledger)
        position = self._project(connection, state.position, size)
        keep.step(connection, position=position)
        return None if size - position < _BATCH and position == state.position else (position, size)

    def _project(self, connection: Connection, position: int, end: int) -> int:
        upto = min(position + _BATCH, end)
        if upto <= position:
            return position
        events = read_events(connection, self._projection, self._ledger, position, upto)
        beside = [msgspec.structs.replace(event, ledger_id=self._built) for event in events]
        for statement in batch_statements(self._projection, beside) if beside else ():
            connection.execute(statement)
        return upto

    def report(self, connection: Connection, state: State, keep: RebuildState) -> tuple[int, list[TableDifference]]:
        """Compared at the position of the live checkpoint, which waits; or ahead of it, where that has stopped."""
        position = self._align(connection, state.position)
        keep.step(connection, position=position)
        return position, [diff_sets(connection, table, self._ledger, self._built) for table in self._projection.tables]

    def _align(self, connection: Connection, position: int) -> int:
        """Go on up to the live checkpoint, which is locked from now on."""
        make_checkpoint(connection, self.name, self._ledger)
        checkpoint = projection_checkpoints.c
        locked = select(checkpoint.position).where(
            checkpoint.projection == self.name, checkpoint.ledger_id == self._ledger
        )
        live = connection.execute(locked.with_for_update()).scalar() or 0
        while position < live:
            position = self._project(connection, position, live)
        return position

    def prepare(self, connection: Connection, state: State, keep: RebuildState) -> None:
        """Nothing: the swap locks nobody but the projection."""

    def swap(self, connection: Connection, state: State, keep: RebuildState) -> None:
        """Replace all rows and the checkpoint. What had stopped, or was set aside, is in what was built."""
        position = self._align(connection, state.position)
        keep.step(
            connection,
            position=position,
            earlier_position=read_checkpoint(connection, self.name, self._ledger).position,
        )
        for table in self._projection.tables:
            clear(connection, table, self._earlier)
            move(connection, table, self._ledger, self._earlier)
            move(connection, table, self._built, self._ledger)
        aside = quarantined_executions.c
        connection.execute(
            delete(quarantined_executions).where(aside.projection == self.name, aside.ledger_id == self._ledger)
        )
        move_checkpoint(connection, self.name, self._ledger, position)

    def settle(self, engine: Engine) -> None:
        """Nothing: whoever projects waits for the checkpoint before it reads."""

    def roll_back(self, connection: Connection, state: State) -> int:
        """Put back all rows and the checkpoint, from which the projection goes on."""
        self._align(connection, 2**62)
        for table in self._projection.tables:
            clear(connection, table, self._ledger)
            move(connection, table, self._earlier, self._ledger)
        move_checkpoint(connection, self.name, self._ledger, state.earlier_position or 0)
        return 0

    def clear(self, connection: Connection) -> None:
        """Remove what stands beside."""
        for table in self._projection.tables:
            for name in (self._built, self._earlier):
                clear(connection, table, name)
