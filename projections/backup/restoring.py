"""A ledger from a file: checked whole before anything is written, then loaded chunk by chunk; can be begun again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ...domain import InvalidInput, LedgerBusy, Tree
from ...infrastructure.ahead import ahead
from ...infrastructure.database_errors import translated
from ...infrastructure.loading import load_events, lock_head
from ...infrastructure.root import compute_root
from ...infrastructure.short_transactions import short_transaction
from ...infrastructure.tables import api_keys, command_receipts, execution_leases, execution_streams, ledgers
from .checking import Tell, WholeBackup, check_backup, lines_of
from .lines import BESIDE, Beside, End, Event, Header, Line, Token

_CHUNK, _DATA = 10_000, 8 * 1024 * 1024
"""Events and characters of payloads that are loaded in one transaction: most runs begin and end in one."""


class Restored(NamedTuple):
    """What the ledger holds now."""

    ledger: str
    size: int
    root: bytes
    loaded: int
    """Events that were not there before."""


def restore(
    engine: Engine, backup: str | os.PathLike[str] | WholeBackup, *, on_progress: Tell | None = None
) -> Restored:
    """Load a backup into a database that has nothing of its ledger, or has a first part of it.

    It is checked whole first, unless `check_backup` has done that. A process that is killed meanwhile leaves the first
    part of the ledger; begun again, this goes on from there.
    """
    tell = on_progress or (lambda what, done, size: None)
    whole = backup if isinstance(backup, WholeBackup) else check_backup(backup, on_progress=tell)
    file, header, end = whole
    with translated():
        present = _size(engine, header.ledger)
        begun = _root(engine, header, end, present or 0)
        if present is None:
            with short_transaction(engine) as connection:
                values = {"ledger_id": header.ledger, "created_at": header.created_at}
                connection.execute(insert(ledgers).values(values))
        after = present or 0
        behind = after < end.size
        for chunk in ahead(_chunks(header.ledger, lines_of(file), after, begun)):
            with short_transaction(engine) as connection:
                if isinstance(chunk, _Events):
                    _load(connection, header.ledger, chunk, after)
                else:
                    if behind:  # so its leases are older than those of the backup, which may have none instead
                        connection.execute(
                            delete(execution_leases).where(execution_leases.c.ledger_id == header.ledger)
                        )
                        behind = False
                    _load_beside(connection, header.ledger, chunk)
            if isinstance(chunk, _Events):
                after += len(chunk)
                tell("load", after, end.size)
    return Restored(header.ledger, end.size, end.root, end.size - (present or 0))


def _size(engine: Engine, ledger: str) -> int | None:
    """How many events there are already; None where there is no such ledger."""
    with engine.connect() as connection:
        return connection.execute(select(ledgers.c.size).where(ledgers.c.ledger_id == ledger)).scalar()


def _root(engine: Engine, header: Header, end: End, present: int) -> bytes:
    """That of the events that there are already; refused where there are too many of them."""
    if present > end.size:
        raise InvalidInput(
            field="FILE",
            problem=f"ledger {header.ledger!r} has {present:,} events, more than the {end.size:,} of this backup",
            remedy="Restore a later backup, or into another database.",
        )
    with engine.connect() as connection:
        return compute_root(connection, header.ledger, present).root


def _load(connection: Connection, ledger: str, events: _Events, after: int) -> None:
    head = lock_head(connection, ledger)
    if head.size != after:
        raise LedgerBusy(
            problem=f"ledger {ledger!r} has {head.size} events and not {after}, so somebody else writes to it",
            remedy="Let nobody write to it, and restore it again.",
        )
    load_events(connection, ledger, [each.arrival() for each in events], head)


def _load_beside(connection: Connection, ledger: str, lines: _Rest) -> None:
    if tokens := [line for line in lines if isinstance(line, Token)]:
        _set_tokens(connection, ledger, tokens)
    for name, table in BESIDE.items():
        if rows := [line.row(ledger) for line in lines if isinstance(line, Beside) and line.table == name]:
            connection.execute(_upsert(connection, table), rows)


def _upsert(connection: Connection, table: Table) -> Any:
    """Rows of an older backup give way; but what was revoked since stays so, and a newer lease stays."""
    kind: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = kind.insert(table)
    if table is command_receipts:
        return statement.on_conflict_do_nothing()
    there, keys = statement.excluded, [column.name for column in table.primary_key]
    values = {column.name: there[column.name] for column in table.columns if column.name not in keys}
    if table is api_keys:
        values["revoked_at"] = func.coalesce(table.c.revoked_at, there.revoked_at)
        return statement.on_conflict_do_update(index_elements=keys, set_=values)
    return statement.on_conflict_do_update(index_elements=keys, set_=values, where=table.c.token <= there.token)


def _set_tokens(connection: Connection, ledger: str, tokens: list[Token]) -> None:
    stream = execution_streams.c
    statement = (
        update(execution_streams)
        .where(stream.ledger_id == ledger, stream.execution_id == bindparam("of"), stream.lease_token < bindparam("to"))
        .values(lease_token=bindparam("to"))
    )
    connection.execute(statement, [{"of": each.execution_id, "to": each.lease_token} for each in tokens])
    # Leases under older tokens were released, or taken by somebody else.
    lease = execution_leases.c
    newer = select(1).where(
        stream.ledger_id == ledger, stream.execution_id == lease.execution_id, stream.lease_token > lease.token
    )
    connection.execute(delete(execution_leases).where(lease.ledger_id == ledger, newer.exists()))


class _Events(list[Event]):
    """Events of one transaction."""


class _Rest(list[Token | Beside]):
    """What stands behind the events, as much as goes into one transaction."""


def _chunks(ledger: str, lines: Iterator[Line], present: int, begun: bytes) -> Iterator[_Events | _Rest]:
    """What is to be loaded, without the first `present` events; refused where `begun` is not the root of those."""
    chunk: _Events | _Rest = _Events()
    tree = Tree()
    data = 0
    for line in lines:
        if isinstance(line, Event):
            if tree.size < present:
                tree.append(line.leaf_hash)
                if tree.size == present and tree.root != begun:
                    raise InvalidInput(
                        field="FILE",
                        problem=f"ledger {ledger!r} has {present:,} events that are not the first of this backup",
                        remedy="Restore it into another database.",
                    )
                continue
            data += len(line.data or "")
        elif isinstance(line, (Token, Beside)):
            if isinstance(chunk, _Events):
                yield chunk
                chunk, data = _Rest(), 0
        else:
            continue
        chunk.append(line)  # type: ignore[arg-type]
        if len(chunk) == _CHUNK or data >= _DATA:
            yield chunk
            chunk, data = type(chunk)(), 0
    yield chunk
