"""What an import remembers between its transactions: with it, one that was killed goes on as if it had not been."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from secrets import token_bytes
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from ...domain.leaf import SALT_BYTES
from ..tables import crud_imports


class Plan(NamedTuple):
    """One import of one table to one ledger."""

    salt_key: bytes
    """Salts are made with it, so that the same event gets the same one, whoever makes it."""
    recorded_at: datetime
    """Of all its events: the time at which it began."""
    done_id: int | None
    """The number of the last row that was dealt with; None before the first."""

    def salt(self, id: int, version: int) -> bytes:
        """The salt of one event: nobody can guess it once the key is forgotten."""
        return blake2b(f"{id}/{version}".encode(), key=self.salt_key, digest_size=SALT_BYTES).digest()


def new_plan(now: datetime) -> Plan:
    """A plan of an import that begins now."""
    return Plan(token_bytes(32), now, None)


def begin_plan(connection: Connection, ledger: str, source: str, now: datetime) -> Plan:
    """The plan of an import that was cut short, or a new one."""
    column = crud_imports.c
    mine = (column.ledger_id == ledger) & (column.source == source)
    found = connection.execute(select(crud_imports).where(mine)).one_or_none()
    if found is not None and found.salt_key is not None:
        return Plan(found.salt_key, found.recorded_at, found.done_id)
    plan = new_plan(now)
    values = {**plan._asdict(), "finished_at": None}
    if found is None:
        connection.execute(insert(crud_imports).values(ledger_id=ledger, source=source, **values))
    else:
        connection.execute(update(crud_imports).where(mine).values(values))
    return plan


def move_plan(connection: Connection, ledger: str, source: str, done_id: int) -> None:
    """All rows up to one are dealt with."""
    _set(connection, ledger, source, done_id=done_id)


def finish_plan(connection: Connection, ledger: str, source: str, now: datetime) -> None:
    """Forget the key."""
    _set(connection, ledger, source, salt_key=None, finished_at=now)


def _set(connection: Connection, ledger: str, source: str, **values: object) -> None:
    column = crud_imports.c
    statement = update(crud_imports).where(column.ledger_id == ledger, column.source == source)
    connection.execute(statement.values(values))
