"""What a group of commands must know before it is decided: the streams, locked, their steps, and the receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, TextualSelect, text

from ...domain import Create, StreamState, stream_id
from ...domain.aggregate import Step
from ..json_rows import dump_keys, keys_of
from ..requests import Request
from ..stream_memory import memory_of
from ..streams import STREAM, StoredReceipt, to_state
from ..tables import command_receipts, execution_steps, execution_streams

Target = int | UUID

_RECEIPT = ("ledger_id", "command_id", "fingerprint", "first_position", "event_count", "outcome")


def target_of(request: Request) -> Target | None:
    """The id or the stream's UUID of what a command is about; None for a new entity without a key."""
    if isinstance(request.target, str):
        return stream_id(request.ledger, request.target)
    return request.target


@dataclass(slots=True)
class Known:
    """What was read."""

    expect_new: bool
    """Whether nothing was read for commands that create."""
    states: dict[tuple[str, Target], StreamState] = field(default_factory=dict)
    """By ledger, and id as well as stream."""
    steps: dict[UUID, dict[str, Step]] = field(default_factory=dict)
    receipts: dict[tuple[str, str], StoredReceipt] = field(default_factory=dict)

    def find(self, request: Request) -> StreamState | None:
        """The state of what a command is about."""
        target = target_of(request)
        return None if target is None else self.states.get((request.ledger, target))


def read_group(connection: Connection, requests: Sequence[Request], *, expect_new: bool) -> Known:
    """Lock and read the streams of these commands, ordered by ledger and id: the order that every writer keeps.

    With `expect_new` nothing is read for commands that create: the keys will tell where one was no longer free.
    """
    looked_up = [each for each in requests if not (expect_new and isinstance(each.command, Create))]
    targets = {(each.ledger, target) for each in looked_up if (target := target_of(each)) is not None}
    ids = [(ledger, target) for ledger, target in targets if isinstance(target, int)]
    streams = [(ledger, target) for ledger, target in targets if isinstance(target, UUID)]
    find, known = _Finder(connection, {each.ledger for each in requests}), Known(expect_new)
    if ids and streams:  # ids never change, so they may be looked up before the lock
        ids += [(row.ledger_id, row.id) for row in find("id", ("execution_id", streams))]
        streams = []
    rows = find("state", ("id", list(set(ids)))) if ids else find("state", ("execution_id", streams))
    for row in rows:
        state = to_state(row)
        known.states[row.ledger_id, row.id] = known.states[row.ledger_id, row.execution_id] = state
    for row in find("step", ("execution_id", _steps(looked_up, known))):
        known.steps.setdefault(row.execution_id, {})[row.step_id] = Step(row.outcome)
    commands = {(each.ledger, each.command_id) for each in looked_up if each.command_id is not None}
    for row in find("receipt", ("command_id", list(commands))):
        receipt = StoredReceipt(row.fingerprint, row.first_position, row.event_count, row.outcome)
        known.receipts[row.ledger_id, row.command_id] = receipt
    return known


def recall_group(connection: Connection, requests: Sequence[Request]) -> Known | None:
    """The same as far as this process remembers, without a lock; None where it does not know enough."""
    memory, known = memory_of(connection), Known(expect_new=True)
    for each in requests:
        if isinstance(each.command, Create):
            continue
        entry = None if each.target is None or each.command.step_ids() else memory.recall(each.ledger, each.target)
        if entry is None:
            return None
        state = entry.state
        assert state.id is not None
        known.states[each.ledger, state.id] = known.states[each.ledger, state.execution_id] = state
    return known


def _steps(requests: Sequence[Request], known: Known) -> list[tuple[Any, ...]]:
    """The keys of all steps that commands name."""
    return [
        (each.ledger, state.execution_id, name)
        for each in requests
        if (names := each.command.step_ids()) and (state := known.find(each))
        for name in names
    ]


class _Finder:
    """Looks up rows by their keys."""

    def __init__(self, connection: Connection, ledgers: set[str]) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._ledger = next(iter(ledgers)) if len(ledgers) == 1 else None

    def __call__(self, what: str, keys: tuple[str, Sequence[tuple[Any, ...]]]) -> list[Any]:
        column, found = keys
        if not found:
            return []
        names = ("ledger_id", column, "step_id")
        parameters = {"keys": dump_keys(self._dialect, names, found)}
        if self._ledger is not None:
            parameters["ledger_id"] = self._ledger
        return list(self._connection.execute(_statement(self._dialect, what, column, self._ledger is None), parameters))


_WANTED: dict[str, tuple[Table, tuple[str, ...]]] = {
    "id": (execution_streams, ("ledger_id", "id")),
    "state": (execution_streams, ("ledger_id", *STREAM)),
    "step": (execution_steps, ("execution_id", "step_id", "outcome")),
    "receipt": (command_receipts, _RECEIPT),
}
"""What is looked up: where, and which columns."""

_TYPES = {"ledger_id": "text", "id": "bigint", "execution_id": "uuid", "step_id": "text", "command_id": "text"}


@lru_cache
def _statement(dialect: str, what: str, column: str, many: bool) -> TextualSelect:
    table, names = _WANTED[what]
    keys = (column, "step_id") if what == "step" else (column,)
    # One ledger is named by a constant, which a cluster needs to find its node.
    ledger = "k.ledger_id" if many else ":ledger_id"
    on = " AND ".join(f"s.{name} = k.{name}" for name in keys)
    # SQLite keeps the order of a CROSS JOIN; else it reads the whole ledger and looks for each row among the keys.
    join = "CROSS JOIN" if dialect == "sqlite" else "JOIN"
    end = ""
    if what == "state":
        end = "ORDER BY s.ledger_id, s.id" + ("" if dialect == "sqlite" else " FOR UPDATE OF s")
    statement = (
        f"SELECT {', '.join(f's.{name}' for name in names)} "
        f"FROM ({keys_of(dialect, 'keys', {name: _TYPES[name] for name in ('ledger_id', *keys)})}) k "
        f"{join} {table.name} s ON s.ledger_id = {ledger} AND {on} {end}"
    )
    return text(statement).columns(*(table.c[name] for name in names))
