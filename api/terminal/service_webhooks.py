"""Webhooks of a service, with the methods of `WebhookControl`. The ledger is that of the client."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...domain import UnknownDeadLetter
from ...infrastructure.webhooks import Attempt, DeadLetter, Endpoint, NewEndpoint
from ..client import AsyncLedgerClient

_PAGE = 1_000
"""Dead letters that a service gives at once."""


class ServiceWebhooks:
    """Asks a service what a database would be asked."""

    def __init__(self, client: AsyncLedgerClient) -> None:
        self._client = client

    async def add(
        self,
        _: str,
        url: str,
        *,
        types: Sequence[str] | None = None,
        description: str | None = None,
        after: int | None = None,
        created_by: str | None = None,
    ) -> NewEndpoint:
        """The service says by whom it was created: whoever calls."""
        return await self._client.add_webhook(url, types=types, description=description, after=after)

    async def list(self, _: str) -> list[Endpoint]:
        """All of them."""
        return await self._client.webhooks()

    async def find(self, _: str, endpoint_id: str) -> Endpoint:
        """One of them."""
        return await self._client.webhook(endpoint_id)

    async def change(
        self, _: str, endpoint_id: str, changes: Mapping[str, Any], *, actor: str | None = None
    ) -> Endpoint:
        """Set some of its fields."""
        return await self._client.change_webhook(endpoint_id, changes)

    async def remove(self, _: str, endpoint_id: str) -> None:
        """Forget it."""
        await self._client.remove_webhook(endpoint_id)

    async def rotate(self, _: str, endpoint_id: str, *, overlap: float = 0.0) -> NewEndpoint:
        """Another secret."""
        return await self._client.rotate_webhook_secret(endpoint_id, overlap=overlap)

    async def test(self, _: str, endpoint_id: str) -> Attempt:
        """Send it a test."""
        return await self._client.test_webhook(endpoint_id)

    async def dead_letters(self, _: str, endpoint_id: str, *, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """So many of its dead letters, by as many pages as it takes."""
        found: list[DeadLetter] = []
        while (most := min(limit - len(found), _PAGE)) > 0:
            page = await self._client.dead_letters(endpoint_id, after=after, limit=most)
            found += page
            if len(page) < most:
                break
            after = page[-1].position
        return found

    async def replay(self, _: str, endpoint_id: str, position: int) -> Attempt:
        """Send a dead letter once more."""
        return await self._client.replay_dead_letter(endpoint_id, position)

    async def drop(self, _: str, endpoint_id: str, positions: Collection[int]) -> int:
        """Forget dead letters; how many of them there were."""
        await self._client.webhook(endpoint_id)
        dropped = 0
        for position in positions:
            try:
                await self._client.drop_dead_letter(endpoint_id, position)
            except UnknownDeadLetter:
                continue
            dropped += 1
        return dropped
