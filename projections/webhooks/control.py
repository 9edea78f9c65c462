"""What can be done with webhooks: by HTTP and by the command line alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from ...domain import InvalidInput
from ...domain.values import check_int
from ...infrastructure import webhooks as stored
from ...infrastructure.event_store import utc_now
from ...infrastructure.short_transactions import transact
from ...infrastructure.tables import execution_events
from ...infrastructure.webhooks import Attempt, DeadLetter, Endpoint, NewEndpoint
from ..audit.filters import Filters
from ..recorded_event import RecordedEvent, select_events, to_recorded_event
from .addresses import check_url
from .messages import event_message, make_test
from .sender import Sender

_T = TypeVar("_T")


class WebhookControl:
    """Endpoints of a database's ledgers: make, change and look at them, send them a test, replay dead letters."""

    def __init__(self, engine: AsyncEngine, sender: Sender, *, source: str) -> None:
        self._engine = engine
        self._sender = sender
        self._source = source

    async def add(
        self,
        ledger: str,
        url: str,
        *,
        types: Iterable[str] | None = None,
        description: str | None = None,
        after: int | None = None,
        created_by: str | None = None,
    ) -> NewEndpoint:
        """Deliver a ledger's events to a URL: those of some types or all, from now on or behind a position."""
        await self._admit(url, ledger)
        given = {"types": _check_types(types), "description": description, "after": after, "created_by": created_by}
        return await self._do(partial(stored.add_endpoint, ledger=ledger, url=url, now=utc_now(), **given))

    async def list(self, ledger: str | None = None) -> list[Endpoint]:
        """The endpoints of a ledger, or of all."""
        return await self._do(partial(stored.list_endpoints, ledger=ledger))

    async def find(self, ledger: str, endpoint_id: str) -> Endpoint:
        """One of them, and how it is doing."""
        return await self._do(partial(stored.find_endpoint, ledger=ledger, endpoint_id=endpoint_id))

    async def change(
        self, ledger: str, endpoint_id: str, changes: Mapping[str, Any], *, actor: str | None = None
    ) -> Endpoint:
        """Set `url`, `types`, `description`, `enabled`, or `after`: go on behind that position."""
        given = dict(changes)
        if "url" in given:
            await self._admit(given["url"], ledger)
        if "types" in given:
            given["types"] = _check_types(given["types"])
        return await self._do(
            partial(stored.change_endpoint, ledger=ledger, endpoint_id=endpoint_id, changes=given, actor=actor)
        )

    async def remove(self, ledger: str, endpoint_id: str) -> None:
        """Forget it, with its dead letters."""
        await self._do(partial(stored.remove_endpoint, ledger=ledger, endpoint_id=endpoint_id))

    async def rotate(self, ledger: str, endpoint_id: str, *, overlap: float = 0.0) -> NewEndpoint:
        """Another secret; for `overlap` seconds messages are signed with the old one, too."""
        return await self._do(
            partial(stored.rotate_secret, ledger=ledger, endpoint_id=endpoint_id, now=utc_now(), overlap=overlap)
        )

    async def test(self, ledger: str, endpoint_id: str) -> Attempt:
        """Send it a message that tells of nothing, once, and tell what it answers."""
        target = await self._do(partial(stored.read_target, ledger=ledger, endpoint_id=endpoint_id, now=utc_now()))
        return await self._sender.send_one(target, make_test(endpoint_id, ledger, self._source))

    async def dead_letters(
        self, ledger: str, endpoint_id: str, *, after: int = 0, limit: int = 100
    ) -> list[DeadLetter]:
        """A page of its dead letters, in order; page on with `after` the position of the last one."""
        bounds = {"after": check_int(after, "after", 0), "limit": check_int(limit, "limit", 1)}
        return await self._do(partial(stored.list_dead_letters, ledger=ledger, endpoint_id=endpoint_id, **bounds))

    async def replay(self, ledger: str, endpoint_id: str, position: int) -> Attempt:
        """Send a dead letter once more, now. Taken, it is one no longer; else it stays, with what was answered."""
        named = {"ledger": ledger, "endpoint_id": endpoint_id, "position": position}

        def find(connection: Connection) -> tuple[stored.Target, RecordedEvent]:
            stored.find_dead_letter(connection, **named)
            target = stored.read_target(connection, ledger, endpoint_id, now=utc_now())
            row = connection.execute(select_events(ledger).where(execution_events.c.position == position)).one()
            return target, to_recorded_event(row)

        target, event = await self._do(find)
        attempt = await self._sender.send_one(target, event_message(endpoint_id, event, self._source))
        await self._do(partial(stored.note_replay, attempt=attempt, now=utc_now(), **named))
        return attempt

    async def drop(self, ledger: str, endpoint_id: str, positions: Collection[int]) -> int:
        """Forget dead letters; how many of them there were."""
        await self.find(ledger, endpoint_id)
        return await self._do(
            partial(stored.drop_dead_letters, ledger=ledger, endpoint_id=endpoint_id, positions=positions)
        )

    async def _admit(self, url: str, ledger: str) -> None:
        """Refuse a URL that nothing could be delivered to: once more before each delivery, for names change."""
        parsed = check_url(url)
        try:
            async with asyncio.timeout(self._sender.timeout):
                await self._sender.guard.find(parsed, ledger)
        except TimeoutError as error:
            raise InvalidInput(
                field="url", problem="its host could not be looked up in time", remedy="Try again later."
            ) from error

    async def _do(self, work: Callable[[Connection], _T]) -> _T:
        return await transact(self._engine, work)


def _check_types(types: Iterable[str] | None) -> tuple[str, ...] | None:
    if types is None:
        return None
    try:
        return Filters.of({"type": types}).type
    except InvalidInput as error:
        raise InvalidInput(field="types", problem=error.problem, remedy=error.remedy) from error
