"""Services that are killed at any moment, and a receiver that fails at random: nothing is lost, nothing too early."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import ExitStack

from execution_ledger.infrastructure import GroupWriter
from execution_ledger.projections.webhooks import WebhookControl
from support import Database
from support.receiver import LOOPBACK, OK, Answer, Receiver
from support.service_process import process
from support.writers import create, note

SECONDS = float(os.environ.get("EXECUTION_LEDGER_TEST_KILL_SECONDS", "8"))
SETTINGS = {
    "EXECUTION_LEDGER_WEBHOOK_ALLOW": f'["{LOOPBACK}"]',
    "EXECUTION_LEDGER_WEBHOOK_TIMEOUT": "0.5",
    "EXECUTION_LEDGER_WEBHOOK_TRIES": "1000",
    "EXECUTION_LEDGER_WEBHOOK_RETRY_DELAY": "0.02",
    "EXECUTION_LEDGER_WEBHOOK_LONGEST_DELAY": "0.1",
    "EXECUTION_LEDGER_PROJECTION_INTERVAL": "0.05",
}


async def test_services_are_killed_while_they_deliver_and_nothing_is_lost(
    database: Database, control: WebhookControl, writer: GroupWriter, receiver: Receiver
) -> None:
    chance, end = random.Random(5), time.monotonic() + SECONDS
    choices = [OK, Answer(500), Answer(None), Answer(503, {"Retry-After": "0"}), Answer(200, wait=0.7)]
    receiver.answer = lambda _: chance.choices(choices, [30, 3, 3, 3, 0.5])[0]
    endpoint, secret = await control.add("default", receiver.url, after=0)
    written, killed, over = 1, 0, False
    await writer.execute(create("a"))

    async def write() -> None:
        nonlocal written
        while not over:
            await writer.execute(note("a", "n"))
            written += 1
            await asyncio.sleep(0.05)

    def kill() -> None:
        """Two services at a time, both killed once they have delivered some more."""
        nonlocal killed, over
        while time.monotonic() < end or killed < 4:
            with ExitStack() as stack:
                services = [stack.enter_context(process(database.url, **SETTINGS)) for _ in range(2)]
                enough = len(receiver.deliveries) + 1 + chance.randrange(40)
                receiver.wait_for(enough)
                for service, _ in services:
                    service.kill()
                    killed += 1
        over = True  # not before, since it waits for deliveries of what is written

    await asyncio.gather(asyncio.to_thread(kill), write())
    receiver.answer = lambda _: OK  # what is left comes fast
    with process(database.url, **SETTINGS):
        async with asyncio.timeout(60):
            while (found := await control.find("default", endpoint.endpoint_id)).lag:
                await asyncio.sleep(0.05)
    assert (found.position, found.dead_letters) == (written, 0)
    assert {each.position for each in receiver.accepted} == set(range(1, written + 1))
    receiver.check_order()
    assert all(each.verify(secret) for each in receiver.deliveries)
