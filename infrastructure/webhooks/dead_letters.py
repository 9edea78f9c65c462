"""Events that an endpoint did not take however often they were sent."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, select, update

from ...domain import UnknownDeadLetter
from ..tables import execution_events, execution_streams, webhook_dead_letters
from .attempt import Attempt
from .endpoints import find_endpoint

_letter = webhook_dead_letters.c


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and what its last try came to."""

    endpoint_id: str
    position: int
    type: str
    job_id: str
    tries: int
    status: int | None
    """What was answered, if anything was."""
    error: str
    response: str | None
    """The beginning of the answer."""
    failed_at: datetime


def list_dead_letters(
    connection: Connection, ledger: str, endpoint_id: str, *, after: int = 0, limit: int = 100
) -> list[DeadLetter]:
    """A page of them, in the order of their positions; page on with `after` the last one."""
    find_endpoint(connection, ledger, endpoint_id)
    page = _select(ledger, endpoint_id).where(_letter.position > after).order_by(_letter.position).limit(limit)
    return [DeadLetter(**row) for row in connection.execute(page).mappings()]


def find_dead_letter(connection: Connection, ledger: str, endpoint_id: str, position: int) -> DeadLetter:
    """One of them."""
    find_endpoint(connection, ledger, endpoint_id)
    found = _select(ledger, endpoint_id).where(_letter.position == position)
    row = connection.execute(found).mappings().one_or_none()
    if row is None:
        raise UnknownDeadLetter(position=position, endpoint_id=endpoint_id)
    return DeadLetter(**row)


def drop_dead_letters(connection: Connection, ledger: str, endpoint_id: str, positions: Collection[int]) -> int:
    """Forget some; how many of them there were."""
    dropped = delete(webhook_dead_letters).where(*_of(ledger, endpoint_id), _letter.position.in_(positions))
    return connection.execute(dropped).rowcount


def note_replay(
    connection: Connection, ledger: str, endpoint_id: str, position: int, attempt: Attempt, now: datetime
) -> None:
    """One was sent once more: it is no dead letter any longer, or died again."""
    if attempt.delivered:
        drop_dead_letters(connection, ledger, endpoint_id, [position])
        return
    said = {"status": attempt.status, "error": attempt.error, "response": attempt.response, "failed_at": now}
    mine = (*_of(ledger, endpoint_id), _letter.position == position)
    connection.execute(update(webhook_dead_letters).where(*mine).values(tries=_letter.tries + 1, **said))


def _select(ledger: str, endpoint_id: str) -> Select[Any]:
    event, stream = execution_events.c, execution_streams.c
    joined = webhook_dead_letters.join(
        execution_events, (event.ledger_id == _letter.ledger_id) & (event.position == _letter.position)
    ).join(execution_streams, (stream.ledger_id == event.ledger_id) & (stream.execution_id == event.execution_id))
    plain = (name for name in DeadLetter.__struct_fields__ if name not in ("type", "job_id"))
    columns = (event.type, stream.job_id, *(_letter[name] for name in plain))
    return select(*columns).select_from(joined).where(*_of(ledger, endpoint_id))


def _of(ledger: str, endpoint_id: str) -> tuple[Any, ...]:
    return _letter.ledger_id == ledger, _letter.endpoint_id == endpoint_id
