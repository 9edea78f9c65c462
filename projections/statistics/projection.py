"""Run statistics as a projection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Executable

from ...infrastructure.tables import run_facts, run_statistics
from ..recorded_event import RecordedEvent
from .changes import TYPES, fold_changes
from .statements import change_statements


class RunStatistics:
    """Counts each run by ledger, hour of its end, run name, type and outcome, with sketches of its times."""

    name = "run_statistics"
    tables = (run_facts, run_statistics)
    types = TYPES

    def statements(self, event: RecordedEvent) -> Iterable[Executable]:
        """What one event changes; again it changes nothing."""
        return self.batch([event])

    def batch(self, events: Sequence[RecordedEvent]) -> Iterable[Executable]:
        """The same for events of one ledger in the order of their positions: a few statements, however many they are.

        They leave what the statements of each event, one after the other, would leave.
        """
        return change_statements(events[0].ledger_id, fold_changes(events)) if events else ()
