"""What a group of commands must know before it is decided: the streams, locked, their steps, and the receipts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, TextualSelect, text

from ...domain import Create, StreamState, stream_id
from ...domain.aggregate import Step
from ..append_postgresql import rows_of_ledger
from ..event_store import Request
from ..streams import STREAM, StoredReceipt, to_state
from ..tables import command_receipts, execution_steps, execution_streams
from ..types import to_json, to_sqlite

Target = int | UUID

_RECEIPT = ("command_id", "fingerprint", "first_position", "event_count", "outcome")


def target_of(request: Request) -> Target | None:
    """The id or the stream's UUID of what a command is about; None for a new entity without a key."""
    if isinstance(request.target, str):
        return stream_id(request.ledger, request.target)
    return request.target


class Known:
    """The state of every stream that a group concerns, found by id and by UUID."""

    def __init__(self, states: Iterable[StreamState]) -> None:
        self.states: dict[Target, StreamState] = {}
        for state in states:
            assert state.id is not None
            self.states[state.id] = self.states[state.execution_id] = state
        self.steps: dict[UUID, dict[str, Step]] = {}
        self.receipts: dict[str, StoredReceipt] = {}


def read_group(connection: Connection, requests: Sequence[Request], *, expect_new: bool) -> Known:
    """Lock and read the streams of these commands of one ledger, ordered by id: the order that every writer keeps.

    With `expect_new` nothing is read for commands that create: the keys will tell where one was no longer free.
    """
    ledger = requests[0].ledger
    looked_up = [each for each in requests if not (expect_new and isinstance(each.command, Create))]
    targets = {target for each in looked_up if (target := target_of(each)) is not None}
    texts, find = _texts(connection.dialect.name), _Finder(connection, ledger)
    ids = [target for target in targets if isinstance(target, int)]
    uuids = [target for target in targets if isinstance(target, UUID)]
    if ids and uuids:  # ids never change, so they may be looked up before the lock
        ids += [row.id for row in find(texts.ids, [{"execution_id": uuid} for uuid in uuids])]
        uuids = []
    states = find(texts.by_id, [{"id": id} for id in set(ids)])
    states += find(texts.by_uuid, [{"execution_id": uuid} for uuid in uuids])
    known = Known(map(to_state, states))
    for row in find(texts.steps, _steps(requests, known)):
        known.steps.setdefault(row.execution_id, {})[row.step_id] = Step(row.outcome)
    commands = {each.command_id for each in looked_up if each.command_id is not None}
    for row in find(texts.receipts, [{"command_id": command_id} for command_id in commands]):
        receipt = StoredReceipt(row.fingerprint, row.first_position, row.event_count, row.outcome)
        known.receipts[row.command_id] = receipt
    return known


def _steps(requests: Sequence[Request], known: Known) -> list[dict[str, Any]]:
    """The keys of all steps that commands name."""
    found = []
    for each in requests:
        target, names = target_of(each), each.command.step_ids()
        if names and target is not None and (state := known.states.get(target)):
            found += [{"execution_id": state.execution_id, "step_id": name} for name in names]
    return found


class _Finder:
    """Looks up rows by their keys."""

    def __init__(self, connection: Connection, ledger: str) -> None:
        self._connection = connection
        self._ledger = ledger

    def __call__(self, statement: TextualSelect, keys: Sequence[dict[str, Any]]) -> list[Any]:
        if not keys:
            return []
        if self._connection.dialect.name == "sqlite":
            rows = [dict(zip(key, to_sqlite(key.values()), strict=True)) for key in keys]
        else:
            rows = [key | {"ledger_id": self._ledger} for key in keys]
        return list(self._connection.execute(statement, {"ledger_id": self._ledger, "keys": to_json(rows)}))


class _Texts:
    """The statements for one kind of database."""

    def __init__(self, dialect: str) -> None:
        def by(table: Table, names: Sequence[str], after: str = "", **fields: str) -> TextualSelect:
            wanted = ", ".join(f"s.{name}" for name in names)
            on = " AND ".join(f"s.{name} = k.{name}" for name in fields)
            statement = f"SELECT {wanted} FROM ({_keys_of(dialect, fields)}) k JOIN {table.name} s "
            statement += f"ON s.ledger_id = :ledger_id AND {on} {after}"
            return text(statement).columns(*(table.c[name] for name in names))

        lock = "ORDER BY s.id" + ("" if dialect == "sqlite" else " FOR UPDATE OF s")
        self.ids = by(execution_streams, ["id"], execution_id="uuid")
        self.by_uuid = by(execution_streams, STREAM, lock, execution_id="uuid")
        self.by_id = by(execution_streams, STREAM, lock, id="bigint")
        self.receipts = by(command_receipts, _RECEIPT, command_id="text")
        step = ("execution_id", "step_id", "outcome")
        self.steps = by(execution_steps, step, execution_id="uuid", step_id="text")


def _keys_of(dialect: str, fields: Mapping[str, str]) -> str:
    if dialect == "sqlite":
        return f"SELECT {', '.join(f'value ->> {name!r} AS {name}' for name in fields)} FROM json_each(:keys)"
    return f"SELECT * FROM {rows_of_ledger('keys', fields)}"


@lru_cache
def _texts(dialect: str) -> _Texts:
    return _Texts(dialect)
