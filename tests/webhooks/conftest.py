"""Receivers on this machine, and what delivers to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.infrastructure import Announcer, EventStore, GroupWriter
from execution_ledger.projections import Heads
from execution_ledger.projections.webhooks import Deliverer, Guard, Retries, Sender, WebhookControl
from support import Database
from support.receiver import LOOPBACK, Receiver, receiving

SOURCE = "urn:test:"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def sender() -> Sender:
    """One that may reach this machine."""
    return Sender(Guard([ip_network(LOOPBACK)]))


@pytest.fixture
def hasty() -> Sender:
    """The same, soon out of patience."""
    return Sender(Guard([ip_network(LOOPBACK)]), timeout=1.0)


@pytest.fixture
def announcer() -> Announcer:
    return Announcer()


@pytest.fixture
async def writer(database: Database, announcer: Announcer) -> AsyncIterator[GroupWriter]:
    async with GroupWriter(database.url, store=EventStore(announcer=announcer)) as writer:
        yield writer


@pytest.fixture
async def heads(engine: AsyncEngine, announcer: Announcer) -> AsyncIterator[Heads]:
    async with Heads(engine, announcer=announcer, poll=0.2).watching() as heads:
        yield heads


@pytest.fixture
def control(engine: AsyncEngine, sender: Sender) -> WebhookControl:
    return WebhookControl(engine, sender, source=SOURCE)


@pytest.fixture
def make_deliverer(engine: AsyncEngine, heads: Heads, sender: Sender) -> Any:
    """A deliverer whose retries come soon."""

    def make(**options: Any) -> Deliverer:
        given = {"sender": sender, "source": SOURCE, "retries": Retries(3, 0.02, 0.1), "poll": 0.05} | options
        return Deliverer(engine, heads, **given)

    return make
