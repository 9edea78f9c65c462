"""Whose turn it is: one process at a time delivers to an endpoint, and notes there how far it came.

A claim is a lease on the endpoint's row, by the database's clock, rather than a lock: no transaction stays open while
somebody else's server takes its time. Every note of a turn names its claim. One that comes too late, since the claim
ran out or the endpoint was changed meanwhile, changes nothing, and the event is delivered once more by whoever is next.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, case, func, insert, or_, select, update

from ..leases import database_time
from ..tables import ledgers, webhook_dead_letters, webhook_endpoints
from .attempt import Attempt
from .dead_letters import drop_dead_letters
from .endpoints import to_target
from .signing import Target

_endpoint = webhook_endpoints.c


class Due(NamedTuple):
    """An endpoint that has something to be sent."""

    ledger: str
    endpoint_id: str


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The right to deliver to an endpoint, and where its line stands."""

    ledger: str
    endpoint_id: str
    claim: str
    target: Target
    types: tuple[str, ...] | None
    position: int
    failures: int


def find_due(connection: Connection, limit: int) -> list[Due]:
    """Endpoints that lag behind, that may be tried now and are nobody's.

    One of each ledger first, then a second one of each, and so on: always whose last turn is the longest ago.
    """
    joined = webhook_endpoints.join(ledgers, ledgers.c.ledger_id == _endpoint.ledger_id)
    rank = func.row_number().over(partition_by=_endpoint.ledger_id, order_by=_endpoint.claimed_until)
    found = (
        select(_endpoint.ledger_id, _endpoint.endpoint_id)
        .select_from(joined)
        .where(ledgers.c.size > _endpoint.position, *_free(database_time(connection)))
        .order_by(rank, _endpoint.claimed_until, _endpoint.ledger_id, _endpoint.endpoint_id)
        .limit(limit)
    )
    return [Due(*row) for row in connection.execute(found)]


def claim(connection: Connection, due: Due, seconds: float) -> Turn | None:
    """Take the turn for so many seconds; None where somebody else has it, or had it since this one was due."""
    now, token = database_time(connection), token_hex(8)
    secret, until = _endpoint.earlier_secret, _endpoint.earlier_secret_until
    taken = (
        update(webhook_endpoints)
        .where(_endpoint.ledger_id == due.ledger, _endpoint.endpoint_id == due.endpoint_id, *_free(now))
        .values(
            claim=token,
            claimed_until=now + timedelta(seconds=seconds),
            earlier_secret=case((until > now, secret)),  # forgotten once it counts no longer
            earlier_secret_until=case((until > now, until)),
        )
        .returning(*_endpoint)
    )
    row = connection.execute(taken).one_or_none()
    if row is None:
        return None
    return Turn(
        ledger=due.ledger,
        endpoint_id=due.endpoint_id,
        claim=token,
        target=to_target(row, now),
        types=None if row.types is None else tuple(row.types.split()),
        position=row.position,
        failures=row.failures,
    )


def advance(connection: Connection, turn: Turn, position: int, seconds: float, *, delivered: bool) -> bool:
    """Everything up to a position is done with, and the turn lasts on; False where it is over."""
    now = database_time(connection)
    told = {"failures": 0, "next_try_at": None, "delivered_at": now} if delivered else {}
    return _note(connection, turn, position=position, claimed_until=now + timedelta(seconds=seconds), **told)


def fail(connection: Connection, turn: Turn, attempt: Attempt, delay: float) -> bool:
    """The event that is next could not be delivered; it is tried again in so many seconds."""
    now = database_time(connection)
    failures, next_try_at = _endpoint.failures + 1, now + timedelta(seconds=delay)
    return _note(connection, turn, failures=failures, next_try_at=next_try_at, **_failed(attempt, now))


def bury(
    connection: Connection, turn: Turn, position: int, attempt: Attempt, tries: int, seconds: float, delay: float = 0.0
) -> bool:
    """An event could not be delivered and is a dead letter; the line goes on behind it, after `delay` seconds.

    The turn lasts on for `seconds`; False where it is over.
    """
    now = database_time(connection)
    told = {
        "claimed_until": now + timedelta(seconds=seconds),
        "next_try_at": now + timedelta(seconds=delay) if delay else None,
        **_failed(attempt, now),
    }
    if not _note(connection, turn, position=position, failures=0, **told):
        return False
    drop_dead_letters(connection, turn.ledger, turn.endpoint_id, [position])  # it may have died before, with a replay
    connection.execute(
        insert(webhook_dead_letters).values(
            ledger_id=turn.ledger, endpoint_id=turn.endpoint_id, position=position, tries=tries,
            status=attempt.status, error=attempt.error, response=attempt.response, failed_at=now,
        )
    )  # fmt: skip
    return True


def disable(connection: Connection, turn: Turn, attempt: Attempt, reason: str) -> bool:
    """Send it nothing more until somebody enables it; it goes on with the same event then."""
    now = database_time(connection)
    return _note(connection, turn, enabled=False, disabled_reason=reason, **_failed(attempt, now))


def release(connection: Connection, turn: Turn) -> None:
    """End the turn. When it ended says who is served next."""
    _note(connection, turn, claim=None, claimed_until=database_time(connection))


def _free(now: datetime) -> tuple[Any, ...]:
    """May be tried now, and is nobody's."""
    return (
        _endpoint.enabled,
        or_(_endpoint.claim.is_(None), _endpoint.claimed_until <= now),
        or_(_endpoint.next_try_at.is_(None), _endpoint.next_try_at <= now),
    )


def _failed(attempt: Attempt, now: datetime) -> dict[str, Any]:
    return {"last_status": attempt.status, "last_error": attempt.error, "last_failed_at": now}


def _note(connection: Connection, turn: Turn, **values: Any) -> bool:
    mine = (
        _endpoint.ledger_id == turn.ledger,
        _endpoint.endpoint_id == turn.endpoint_id,
        _endpoint.claim == turn.claim,
    )
    return connection.execute(update(webhook_endpoints).where(*mine).values(**values)).rowcount == 1
