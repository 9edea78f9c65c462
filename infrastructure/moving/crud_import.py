"""The rows of a table as the first events of executions, with their numbers and their true times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Engine, func, or_, select
from sqlalchemy.exc import DBAPIError

from ...domain import Context, InvalidInput, LedgerBusy, LedgerError, Limits, check_ledger, make_context
from ..ahead import ahead
from ..bulk_rows import find_rows
from ..database_errors import translate, translated
from ..entity import EXECUTIONS
from ..event_store import EventStore, utc_now
from ..loading import Arrival, load_events, lock_head
from ..root import read_size
from ..short_transactions import short_transaction
from ..streams import lock_streams, to_state
from ..tables import execution_events, execution_streams
from .genesis import Begun, Known, Maker
from .mapping import MOST_ID, ColumnMapping, MappedRow
from .plans import Plan, begin_plan, finish_plan, move_plan, new_plan
from .source import CrudTable, Unreadable

_TRIES = 5
"""Of a page that other writers stood in the way of."""
_TOLD = {
    "went_on": "it has changed, and so has the execution: what the ledger has stays",
    "deleted": "the execution was deleted in the ledger",
}


class RowReport(NamedTuple):
    """A row that somebody should look at."""

    kind: Literal["refused", "went_on", "assumed"]
    """refused: it is not in the ledger; went_on: the ledger has later news of it, and keeps them; assumed: something
    that it does not tell was taken from something else.
    """
    id: Any
    problem: str


@dataclass(slots=True)
class ImportReport:
    """What became of the rows."""

    rows: int = 0
    imported: int = 0
    corrected: int = 0
    """That were imported before, and have changed since."""
    unchanged: int = 0
    went_on: int = 0
    refused: int = 0
    assumed: int = 0
    """Of those that were imported or corrected."""


Tell = Callable[[RowReport], object]
Progress = Callable[[ImportReport], object]


class _Ready(NamedTuple):
    """A row that tells something, and its first event if that was made ahead."""

    row: MappedRow
    begun: Begun | None


class _Row(NamedTuple):
    """What becomes of a row: a count of the report; and what is to be told of it."""

    became: str
    id: int
    told: str | None = None


def _add(report: ImportReport, rows: Sequence[_Row], tell: Tell) -> None:
    for row in rows:
        setattr(report, row.became, getattr(report, row.became) + 1)
        if row.told is None:
            continue
        assumed = row.became in ("imported", "corrected")
        report.assumed += assumed
        tell(RowReport("assumed" if assumed else "refused" if row.became == "refused" else "went_on", row.id, row.told))


class CrudImport:
    """One import. Run again, it brings in what is new or has changed since, and nothing twice."""

    def __init__(
        self,
        engine: Engine,
        table: CrudTable,
        mapping: ColumnMapping,
        *,
        ledger: str = "default",
        actor: str | None = None,
        prefer_table: bool = False,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`engine` is a sync one of the ledger's database.

        A row that has changed corrects its execution where nobody else has written about that; with `prefer_table`
        also where somebody has.
        """
        self._engine = engine
        self._table = table
        self._mapping = mapping
        self._ledger = check_ledger(ledger)
        self._prefer_table = prefer_table
        self._context = make_context(Context(), actor=actor)
        self._limits = limits
        self._clock = clock
        self._source = table.address
        self._is_fresh = False
        """Whether most rows are new, so that their events are best made ahead."""

    def run(
        self,
        *,
        dry_run: bool = False,
        on_row: Tell = lambda report: None,
        on_progress: Progress = lambda report: None,
    ) -> ImportReport:
        """Import all rows; `on_row` is told of those that somebody should look at. A `dry_run` writes nothing."""
        if dry_run:
            return self._dry_run(on_row, on_progress)
        with translated():
            plan = self._begin()
            first = ImportReport()
            if plan.done_id is not None:
                # It was cut short: what it had left is done as it would have been, then all is looked at once more,
                # since rows that it had done may have changed.
                self._pass(plan, first, lambda report: None, on_progress)
                plan = self._begin()
            report = ImportReport(imported=first.imported, corrected=first.corrected, assumed=first.assumed)
            report.unchanged -= first.imported + first.corrected
            self._pass(plan, report, on_row, on_progress)
        return report

    def _begin(self) -> Plan:
        with short_transaction(self._engine) as connection:
            EventStore(clock=self._clock).ensure_ledgers(connection, [self._ledger])
            plan = begin_plan(connection, self._ledger, self._source, self._clock())
            self._is_fresh = plan.done_id is not None or not lock_head(connection, self._ledger).last_id
        return plan

    def _pass(self, plan: Plan, report: ImportReport, on_row: Tell, on_progress: Progress) -> None:
        maker = Maker(self._ledger, self._table.name, plan, self._context, self._limits)
        for last_id, rows, refused in ahead(self._pages(plan.done_id, maker)):
            part = self._import_or_again(rows, maker, min(last_id, MOST_ID))
            report.rows += len(rows) + len(refused)
            _add(report, [*refused, *part], on_row)
            on_progress(report)
        with short_transaction(self._engine) as connection:
            finish_plan(connection, self._ledger, self._source, self._clock())

    def _dry_run(self, on_row: Tell, on_progress: Progress) -> ImportReport:
        report, plan = ImportReport(), new_plan(self._clock())
        repeated = self._table.repeated(self._mapping.fields["job_id"])
        maker = Maker(self._ledger, self._table.name, plan, self._context, self._limits)
        seen: dict[int | str, Known] = {}
        with translated():
            for _, rows, refused in ahead(self._pages(None, maker)):
                with self._engine.connect() as connection:
                    known = seen | _find_known(connection, self._ledger, rows)
                    _, part = self._make(connection, rows, known, maker)
                seen |= {key: of for key, of in known.items() if key in repeated}
                report.rows += len(rows) + len(refused)
                _add(report, [*refused, *part], on_row)
                on_progress(report)
        return report

    def _import_or_again(self, rows: Sequence[_Ready], maker: Maker, done_id: int) -> list[_Row]:
        for left in reversed(range(_TRIES)):
            try:
                return self._import(rows, maker, done_id)
            except DBAPIError as error:
                if not left or not isinstance(translate(error), LedgerBusy):
                    raise
        raise AssertionError("the last try has raised")

    def _import(self, rows: Sequence[_Ready], maker: Maker, done_id: int) -> list[_Row]:
        with short_transaction(self._engine) as connection:
            size = read_size(connection, self._ledger)
            known = _find_known(connection, self._ledger, rows)
            if known:  # streams first, as every writer does
                lock_streams(connection, self._ledger, {of.state.execution_id for of in known.values()})
            head = lock_head(connection, self._ledger)
            if head.size != size:  # others have written meanwhile
                known = _find_known(connection, self._ledger, rows)
            arrivals, made = self._make(connection, rows, known, maker)
            load_events(connection, self._ledger, arrivals, head)
            move_plan(connection, self._ledger, self._source, done_id)
        return made

    def _make(
        self, connection: Connection, rows: Sequence[_Ready], known: dict[int | str, Known], maker: Maker
    ) -> tuple[list[Arrival], list[_Row]]:
        """The events of some rows, and what becomes of each."""
        arrivals: list[Arrival] = []
        became: list[_Row] = []
        for row, begun in rows:
            try:
                made = maker.make(
                    row, known, lambda of: not self._prefer_table and self._went_on(connection, of), begun
                )
            except LedgerError as error:
                became.append(_Row("refused", row.id, str(error)))
                continue
            if isinstance(made, Arrival):
                arrivals.append(made)
                became.append(_Row("imported" if made.row.version == 1 else "corrected", row.id, row.assumed))
            else:
                became.append(_Row("unchanged" if made == "unchanged" else "went_on", row.id, _TOLD.get(made)))
        return arrivals, became

    def _pages(self, after: int | None, maker: Maker) -> Iterator[tuple[int, list[_Ready], list[_Row]]]:
        """Of each page the last number, what its rows tell, and those that tell nothing."""
        for page in self._table.pages(after):
            rows: list[_Ready] = []
            refused: list[_Row] = []
            for row in page:
                if isinstance(row, Unreadable):
                    refused.append(_Row("refused", row.id, row.problem))
                    continue
                try:
                    mapped = self._mapping.map(row)
                    rows.append(_Ready(mapped, maker.begin(mapped) if self._is_fresh else None))
                except (InvalidInput, ValueError, TypeError, OverflowError) as error:
                    refused.append(_Row("refused", row[self._table.id_column], str(error)))
            last = page[-1]
            yield last.id if isinstance(last, Unreadable) else last[self._table.id_column], rows, refused

    def _went_on(self, connection: Connection, known: Known) -> bool:
        """Whether anybody but an import of this table wrote about an execution."""
        event = execution_events.c
        ours = f"{self._table.name}/{known.state.id}"
        others = select(func.count()).where(
            event.ledger_id == self._ledger,
            event.execution_id == known.state.execution_id,
            or_(event.causation_id.is_(None), event.causation_id != ours),
        )
        return connection.execute(others).scalar_one() > 0


def _find_known(connection: Connection, ledger: str, rows: Sequence[_Ready]) -> dict[int | str, Known]:
    """The executions that have the number or the key of a row, by both."""
    found: dict[int | str, Known] = {}
    keys = {"id": [row.id for row, _ in rows], "job_id": [row.details.job_id for row, _ in rows]}
    states = {
        row.id: to_state(row)
        for column, wanted in keys.items()
        for row in find_rows(connection, execution_streams, ledger, column, wanted)
    }
    history = {row.id: row._mapping for row in find_rows(connection, EXECUTIONS.table, ledger, "id", states)}
    for id, state in states.items():
        found[id] = found[state.key] = Known(state, history.get(id, {}))
    return found
