"""Endpoints of webhooks: each is of one ledger, has a URL, a secret, and how far the ledger was delivered to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, select, update

from ...domain import InvalidInput, UnknownWebhook, check_ledger
from ...domain.limits import REASON_LENGTH
from ...domain.values import check_int, check_seconds, check_text
from ..event_store import utc_now
from ..root import read_size
from ..tables import ledgers, webhook_dead_letters, webhook_endpoints
from .signing import Target, make_secret

MOST = 100
"""Endpoints of one ledger."""
URL_LENGTH = 2_000
LONGEST_OVERLAP = 30 * 86_400.0
"""Seconds for which an old secret may go on signing."""

_endpoint = webhook_endpoints.c


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an endpoint. Its secret is not."""

    ledger: str
    endpoint_id: str
    url: str
    types: tuple[str, ...] | None
    """Stored types of the events that it is sent; None for all."""
    description: str | None
    enabled: bool
    disabled_reason: str | None
    created_at: datetime
    created_by: str | None
    earlier_secret_until: datetime | None
    """Until when messages are signed with the secret before this one, too; None where they are not, or no longer."""
    position: int
    """Everything up to there is delivered, or among the dead letters."""
    lag: int
    """Events of the ledger behind that."""
    failures: int
    """Tries that failed of the event that is next."""
    next_try_at: datetime | None
    """When it is tried again; None where nothing keeps it from now."""
    last_status: int | None
    """What the last try that failed was answered, if it was."""
    last_error: str | None
    last_failed_at: datetime | None
    delivered_at: datetime | None
    """When an event was delivered the last time."""
    dead_letters: int


class NewEndpoint(NamedTuple):
    """An endpoint with a secret that was just made."""

    endpoint: Endpoint
    secret: str
    """What its owner verifies with. It is told this once."""


def add_endpoint(
    connection: Connection,
    ledger: str,
    url: str,
    *,
    now: datetime,
    types: Sequence[str] | None = None,
    description: str | None = None,
    after: int | None = None,
    created_by: str | None = None,
) -> NewEndpoint:
    """Deliver to a URL, whose syntax and host the caller has checked, from now on, or all behind position `after`."""
    ledger, endpoint_id, secret = check_ledger(ledger), token_hex(8), make_secret()
    size = read_size(connection, ledger)
    number = connection.execute(select(func.count()).where(_endpoint.ledger_id == ledger)).scalar_one()
    if number >= MOST:
        raise InvalidInput(field="url", problem=f"the ledger has {MOST} webhooks already", remedy="Remove one first.")
    connection.execute(
        insert(webhook_endpoints).values(
            ledger_id=ledger, endpoint_id=endpoint_id, url=_check_url(url), types=_joined(types),
            description=_check_description(description), secret=secret, enabled=True, created_at=now,
            created_by=created_by, position=size if after is None else _check_after(after, size), failures=0,
            claimed_until=now,
        )
    )  # fmt: skip
    return NewEndpoint(find_endpoint(connection, ledger, endpoint_id), secret)


def list_endpoints(connection: Connection, ledger: str | None = None) -> list[Endpoint]:
    """All endpoints of a ledger, or of all ledgers, the newest last."""
    found = _select()
    if ledger is not None:
        found = found.where(_endpoint.ledger_id == check_ledger(ledger))
    found = found.order_by(_endpoint.ledger_id, _endpoint.created_at, _endpoint.endpoint_id)
    return [_to_endpoint(row) for row in connection.execute(found)]


def find_endpoint(connection: Connection, ledger: str, endpoint_id: str) -> Endpoint:
    """One of them."""
    row = connection.execute(_select().where(*_is(ledger, endpoint_id))).one_or_none()
    if row is None:
        raise UnknownWebhook(endpoint_id=endpoint_id, ledger=ledger)
    return _to_endpoint(row)


def change_endpoint(
    connection: Connection, ledger: str, endpoint_id: str, changes: dict[str, Any], *, actor: str | None = None
) -> Endpoint:
    """Set `url`, `types`, `description`, `enabled`, or `after`: go on behind that position, backward or forward.

    What is under way is not counted: it may come once more, as the endpoint is now.
    """
    found = find_endpoint(connection, ledger, endpoint_id)
    values: dict[str, Any] = {}
    for name, value in changes.items():
        match name:
            case "url":
                values["url"] = _check_url(value)
            case "types":
                values["types"] = _joined(value)
            case "description":
                values["description"] = _check_description(value)
            case "enabled":
                off = f"switched off by {actor}" if actor else "switched off"
                values |= {"enabled": value, "disabled_reason": None if value else off}
            case "after":
                values["position"] = _check_after(value, found.position + found.lag)
                _drop_letters(connection, found, behind=value)  # their events come again
            case _:
                raise InvalidInput(
                    field=name, problem="is not of a webhook", remedy="Use: url, types, description, enabled, after."
                )
    if values:
        _change(connection, found, **values, **(_UNTRIED if values.keys() - {"description"} else {}))
    return find_endpoint(connection, ledger, endpoint_id)


def rotate_secret(
    connection: Connection, ledger: str, endpoint_id: str, *, now: datetime, overlap: float = 0.0
) -> NewEndpoint:
    """Give it another secret; for `overlap` seconds messages are signed with the old one, too."""
    found, secret = find_endpoint(connection, ledger, endpoint_id), make_secret()
    if check_seconds(overlap, "overlap") > LONGEST_OVERLAP:
        raise InvalidInput(
            field="overlap", problem="is more than 30 days", remedy=f"Send {LONGEST_OVERLAP:,.0f} seconds at most."
        )
    until = now + timedelta(seconds=overlap)
    old = connection.execute(select(_endpoint.secret).where(*_is(ledger, endpoint_id))).scalar_one()
    kept = {"earlier_secret": old, "earlier_secret_until": until} if overlap else _FORGOTTEN
    _change(connection, found, secret=secret, claim=None, **kept)
    return NewEndpoint(find_endpoint(connection, ledger, endpoint_id), secret)


def remove_endpoint(connection: Connection, ledger: str, endpoint_id: str) -> None:
    """Deliver there no longer, and forget it with its dead letters."""
    found = find_endpoint(connection, ledger, endpoint_id)
    connection.execute(delete(webhook_endpoints).where(*_is(ledger, endpoint_id)))
    _drop_letters(connection, found, behind=0)


def read_target(connection: Connection, ledger: str, endpoint_id: str, *, now: datetime) -> Target:
    """Where to deliver to, for a single message."""
    row = connection.execute(select(webhook_endpoints).where(*_is(ledger, endpoint_id))).one_or_none()
    if row is None:
        raise UnknownWebhook(endpoint_id=endpoint_id, ledger=ledger)
    return to_target(row, now)


def to_target(row: Any, now: datetime) -> Target:
    """Of a row of the table."""
    secrets = (row.secret, row.earlier_secret) if _counts(row, now) else (row.secret,)
    return Target(ledger=row.ledger_id, url=row.url, secrets=secrets)


_UNTRIED = {"failures": 0, "next_try_at": None, "claim": None}
"""As if nothing had been tried; whoever delivers at the moment finds out that his turn is over."""
_FORGOTTEN = {"earlier_secret": None, "earlier_secret_until": None}


def _select() -> Select[Any]:
    letter = webhook_dead_letters.c
    letters = select(func.count()).where(
        letter.ledger_id == _endpoint.ledger_id, letter.endpoint_id == _endpoint.endpoint_id
    )
    lag = func.coalesce(ledgers.c.size, 0) - _endpoint.position
    joined = webhook_endpoints.outerjoin(ledgers, ledgers.c.ledger_id == _endpoint.ledger_id)
    plain = (name for name in Endpoint.__struct_fields__ if name not in ("ledger", "lag", "dead_letters"))
    return select(
        _endpoint.ledger_id.label("ledger"),
        lag.label("lag"),
        letters.scalar_subquery().label("dead_letters"),
        *(_endpoint[name] for name in plain),
    ).select_from(joined)


def _to_endpoint(row: Any) -> Endpoint:
    fields = {name: getattr(row, name) for name in Endpoint.__struct_fields__}
    fields["types"] = None if row.types is None else tuple(row.types.split())
    if not _counts(row, utc_now()):
        fields["earlier_secret_until"] = None
    return Endpoint(**fields)


def _counts(row: Any, now: datetime) -> bool:
    """Whether the earlier secret still signs."""
    return row.earlier_secret_until is not None and row.earlier_secret_until > now


def _is(ledger: str, endpoint_id: str) -> tuple[Any, ...]:
    return _endpoint.ledger_id == check_ledger(ledger), _endpoint.endpoint_id == endpoint_id


def _change(connection: Connection, found: Endpoint, **values: Any) -> None:
    mine = _is(found.ledger, found.endpoint_id)
    connection.execute(update(webhook_endpoints).where(*mine).values(**values))


def _drop_letters(connection: Connection, found: Endpoint, *, behind: int) -> None:
    letter = webhook_dead_letters.c
    mine = (letter.ledger_id == found.ledger, letter.endpoint_id == found.endpoint_id, letter.position > behind)
    connection.execute(delete(webhook_dead_letters).where(*mine))


def _joined(types: Sequence[str] | None) -> str | None:
    return None if types is None else " ".join(types)


def _check_url(url: Any) -> str:
    return check_text(url, "url", URL_LENGTH, min_length=1)


def _check_description(description: Any) -> str | None:
    return None if description is None else check_text(description, "description", REASON_LENGTH)


def _check_after(after: Any, size: int) -> int:
    if check_int(after, "after", 0) > size:
        raise InvalidInput(
            field="after", problem=f"{after} is more than the ledger's {size} events", remedy="Send a position it has."
        )
    return after
