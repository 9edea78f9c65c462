"""A ledger from a file: checked whole before anything is written, then loaded chunk by chunk; can be begun again."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ...domain import InvalidInput, LedgerBusy, Tree, check_ledger
from ...infrastructure.ahead import ahead
from ...infrastructure.database_errors import translated
from ...infrastructure.loading import load_events, lock_head
from ...infrastructure.root import compute_root
from ...infrastructure.short_transactions import short_transaction
from ...infrastructure.tables import api_keys, command_receipts, execution_leases, execution_streams, ledgers
from .lines import BESIDE, FORMAT, VERSION, Beside, End, Event, Header, Line, Token, check_event

_CHUNK, _DATA = 10_000, 8 * 1024 * 1024
"""Events and characters of payloads that are loaded in one transaction: most runs begin and end in one."""
_TOLD = 1_000
"""Events after which the check tells how far it is."""

Tell = Callable[[str, int, int], object]


class Restored(NamedTuple):
    """What the ledger holds now."""

    ledger: str
    size: int
    root: bytes
    loaded: int
    """Events that were not there before."""


def restore(engine: Engine, path: str | os.PathLike[str], *, on_progress: Tell | None = None) -> Restored:
    """Load a backup into a database that has nothing of its ledger, or has a first part of it.

    `on_progress` is told what is done ("check", "load"), of how many events, and of all. A process that is killed
    meanwhile leaves the first part of the ledger; begun again, this goes on from there.
    """
    file, tell = Path(path), on_progress or (lambda what, done, size: None)
    header = _header(file)
    with translated():
        present = _size(engine, header.ledger)
        end, begun = _check(file, header, present, tell)
        _check_begun(engine, header, end, present, begun)
        if present is None:
            with short_transaction(engine) as connection:
                values = {"ledger_id": header.ledger, "created_at": header.created_at}
                connection.execute(insert(ledgers).values(values))
        after = present or 0
        behind = after < end.size
        for chunk in ahead(_chunks(_lines(file), after)):
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


def _header(file: Path) -> Header:
    with closing(_lines(file)) as lines:
        header = next(lines, None)
    if not isinstance(header, Header) or header.format != FORMAT:
        raise _refused(file, "is no backup of a ledger", "Name a file that `execution-ledger export ledger` wrote.")
    if header.version != VERSION:
        raise _refused(file, f"is of format {header.version}", "Upgrade execution-ledger.")
    check_ledger(header.ledger)
    return header


def _size(engine: Engine, ledger: str) -> int | None:
    """How many events there are already; None where there is no such ledger."""
    with engine.connect() as connection:
        return connection.execute(select(ledgers.c.size).where(ledgers.c.ledger_id == ledger)).scalar()


def _check(file: Path, header: Header, present: int | None, tell: Tell) -> tuple[End, bytes]:
    """Read all of it, and refuse what is not whole. Answers the root of the first `present` events, too."""
    tree, digest, end = Tree(), sha256(), None
    begun = tree.root
    before = told = b""
    for line in islice(_lines(file, digest), 1, None):
        match line:
            case Event():
                check_event(header.ledger, tree.size + 1, line.arrival())
                tree.append(line.leaf_hash)
                if tree.size == present:
                    begun = tree.root
                if tree.size % _TOLD == 0:
                    tell("check", tree.size, header.size)
            case Token():
                pass
            case Beside():
                line.row(header.ledger)
            case End():
                end, told = line, before
            case Header():
                raise _refused(file, "begins twice", "Restore one backup at a time.")
        before = digest.digest()
    if end is None:
        raise _refused(file, "is cut off", "Take one that is whole.")
    if (tree.size, tree.root, told) != (end.size, end.root, end.digest) or end.size != header.size:
        raise _refused(file, "does not hold what its last line tells of", "Take one that nobody changed.")
    return end, begun


def _check_begun(engine: Engine, header: Header, end: End, present: int | None, begun: bytes) -> None:
    """Refuse a ledger that holds something else."""
    if not present:
        return
    if present > end.size:
        raise InvalidInput(
            field="FILE",
            problem=f"ledger {header.ledger!r} has {present:,} events, more than the {end.size:,} of this backup",
            remedy="Restore a later backup, or into another database.",
        )
    with engine.connect() as connection:
        same = compute_root(connection, header.ledger, present).root == begun
    if not same:
        raise InvalidInput(
            field="FILE",
            problem=f"ledger {header.ledger!r} has {present:,} events that are not the first of this backup",
            remedy="Restore it into another database.",
        )


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


def _chunks(lines: Iterator[Line], present: int) -> Iterator[_Events | _Rest]:
    """What is to be loaded, without the first `present` events."""
    chunk: _Events | _Rest = _Events()
    data = skipped = 0
    for line in lines:
        if isinstance(line, Event):
            if skipped < present:
                skipped += 1
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


def _lines(file: Path, digest: Any = None) -> Generator[Line]:
    """All lines; the `digest` is told of each."""
    decode = msgspec.json.Decoder(Line).decode
    number = 0
    try:
        with gzip.open(file, "rb") as lines:
            for text in lines:
                number += 1
                if digest is not None:
                    digest.update(text)
                yield decode(text)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _refused(file, f"is damaged after line {number}: {error}", "Take one that is whole.") from error
    except EOFError as error:
        raise _refused(file, f"is cut off after line {number}", "Take one that is whole.") from error
    except msgspec.MsgspecError as error:
        what = f"has a line {number} that cannot be read: {error}"
        raise _refused(file, what, "Take one that `execution-ledger export ledger` wrote.") from error
    except OSError as error:
        raise _refused(file, f"cannot be read: {error.strerror}", "Name a file that is there.") from error


def _refused(file: Path, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput(field="FILE", problem=f"{file.name} {problem}", remedy=remedy)
