"""The statements that carry changes into the tables.

A run is counted by what `run_facts` says of it. In the order of the statements, and all in one transaction: what it is
counted as now is taken back from `run_statistics` and what it is to be counted as is added, then its facts are moved
on. All of them pass by what facts have had already (`position`), so nothing is ever counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from sqlalchemy import Executable, SelectBase, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from ...infrastructure.tables import run_facts, run_statistics
from .cells import KEYS, added_cells, former_cells
from .changes import Change
from .json_elements import sketch_sum
from .news import News, bind, ledger_parameter

_LASTING = ("ledger_id", "execution_id", "job_id")
"""Columns of facts that no event changes."""


def change_statements(ledger: str, changes: Sequence[Change]) -> Iterable[Executable]:
    """What applies changes of a ledger, one of each run, in this order."""
    if counting := [change for change in changes if change.counts]:
        yield _count(bind(added_cells(), ledger, counting))
    if moving := [change for change in changes if change.moves]:
        yield _drop_empty(ledger, bind(former_cells(), ledger, moving))
    if changes:
        yield _move_on(bind(_facts(), ledger, changes))


# PostgreSQL's upsert compiles on SQLite, too, where it is the same words.
def _move_on(facts: SelectBase) -> Executable:
    names = facts.selected_columns.keys()
    statement = insert(run_facts).from_select(names, facts)
    return statement.on_conflict_do_update(
        index_elements=list(run_facts.primary_key.columns),
        set_={name: statement.excluded[name] for name in names if name not in _LASTING},
    )


def _count(cells: SelectBase) -> Executable:
    statement = insert(run_statistics).from_select([column.name for column in run_statistics.columns], cells)
    cell, added = run_statistics.c, statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(run_statistics.primary_key.columns),
        set_={
            "runs": cell.runs + added.runs,
            "late": cell.late + added.late,
            "durations": sketch_sum(cell.durations, added.durations),
            "queue_times": sketch_sum(cell.queue_times, added.queue_times),
        },
    )


def _drop_empty(ledger: str, places: SelectBase) -> Executable:
    """Drop the cells that nothing is counted in any more, of those that runs were counted in before."""
    cell = run_statistics.c
    place = tuple_(*(cell[name] for name in KEYS))
    return delete(run_statistics).where(cell.ledger_id == ledger, place.in_(places), cell.runs == 0)


@cache
def _facts() -> SelectBase:
    """The facts as they are to be, by the names of their columns."""
    news = News()
    facts = (value.label(name) for name, value in {**news.key, **news.after}.items())
    return select(ledger_parameter().label("ledger_id"), *facts).select_from(news.source).where(news.is_new)
