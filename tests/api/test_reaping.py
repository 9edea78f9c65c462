"""Beside the requests, the service ends runs whose lease expired, and nobody who goes silent blocks a ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from sqlalchemy import text

from execution_ledger.api import reaping
from execution_ledger.api.runtime import Ledger, open_ledger
from execution_ledger.domain import StoreUnavailable
from execution_ledger.infrastructure import ExecutionRepository, Lease, Settings
from execution_ledger.infrastructure.database_errors import translated
from support import Database
from support.http_service import make_client, running


def settings(database: Database, **more: Any) -> Settings:
    return Settings(database_url=database.url, **more)


async def take(ledger: Ledger, name: str = "default", ttl: float = 0.1) -> Lease:
    async with ledger.sessions() as session:
        executions = ExecutionRepository(session, ledger=name)
        await executions.create_execution({"job_id": "j", "status": "running"})
        return await executions.take_lease("j", holder="box:7", ttl=ttl)


def test_the_service_ends_runs_of_every_ledger_whose_lease_expired(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ours = settings(database, reap_interval=0.05)

    async def prepare() -> None:
        async with open_ledger(ours) as ledger:
            for name in ("default", "blue"):
                await take(ledger, name)
            await take(ledger, "live", ttl=60)

    asyncio.run(prepare())
    with caplog.at_level(logging.INFO, "execution_ledger.api"), running(ours) as address:
        client = make_client(address)
        deadline = time.monotonic() + 30
        for name in ("default", "blue"):
            while client.get("executions/j", headers={"X-Ledger": name}).json()["status"] != "failed":
                assert time.monotonic() < deadline
        assert client.get("executions/j", headers={"X-Ledger": "live"}).json()["status"] == "running"
        (ended,) = client.get("events?type=failed").json()["events"]
        assert (ended["actor"], ended["reason"]) == ("reaper", "its lease expired")
        client.close()
    assert "'j' of ledger 'blue' is failed: the lease of 'box:7' expired" in caplog.messages


async def test_a_pass_that_fails_is_told_and_the_next_one_is_made(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_ledger(settings(database, reap_interval=0.05)) as ledger:
        await take(ledger)
        once, gone = reaping.reap_once, StoreUnavailable(problem="gone")
        failures = [gone, gone, ZeroDivisionError(), gone]
        coming = iter(failures)

        def fail(*arguments: Any) -> Any:
            # Not for the service of other tests, which reaps in this process, too.
            if arguments[0] is ledger and (error := next(coming, None)) is not None:
                raise error
            return once(*arguments)

        told: list[Exception] = []
        done = asyncio.Event()
        monkeypatch.setattr(reaping, "reap_once", fail)
        task = asyncio.create_task(reaping.reap_forever(ledger, lambda _: done.set(), told.append))
        async with asyncio.timeout(30):
            await done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task  # it lets go of its connection before the engine is disposed
        assert told == failures[1:], "each once as long as it lasts"


async def test_after_the_machine_slept_the_reaper_gives_the_workers_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    class Watch:
        """The first wait takes an hour by one of the clocks, the others as long as they should."""

        def __init__(self) -> None:
            self.begun = len(slept)

        @property
        def seconds(self) -> float:
            return 3_600 if self.begun == 0 else slept[self.begun]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(reaping, "Stopwatch", Watch)
    monkeypatch.setattr(reaping.asyncio, "sleep", sleep)
    await reaping.pause(0.5)
    assert slept == [0.5, 2.0]
    await reaping.pause(5)
    assert slept == [0.5, 2.0, 5]


@pytest.mark.store("postgresql")
async def test_who_goes_silent_in_the_middle_of_a_transaction_keeps_no_ledger_locked(database: Database) -> None:
    async with open_ledger(settings(database, lease_ttl=0.3)) as ledger, ledger.sessions() as silent:
        await take(ledger)
        unit = ExecutionRepository(silent, commit=False)
        await unit.add_note("j", "half a transaction")
        await unit.flush()  # holds the head
        async with ledger.sessions() as session:
            assert await ExecutionRepository(session).add_note("j", "another one") is not None
        with pytest.raises(StoreUnavailable), translated():
            await silent.execute(text("SELECT 1"))
        await silent.rollback()
        noted = await ExecutionRepository(silent).add_note("j", "again")
        assert noted is not None
        assert noted.version == 3
