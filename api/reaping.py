"""Reaping again and again, as `serve` and `reap --watch` do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from ..domain import LedgerBusy
from ..infrastructure import Reaped, count_expired_leases, reap_expired_leases
from ..infrastructure.connections import BUSY_TIMEOUT
from ..infrastructure.stopwatch import Stopwatch
from .runtime import Ledger, shorten_waits

_TRY, _PAUSE = 1.0, 0.1
"""Seconds that one try waits for another process that writes, and between two."""
_LATE = 2.0
"""Seconds by which a pass may come too late before we take it that the machine was suspended, or its clock set."""


def reap_once(ledger: Ledger, only: str | None = None) -> AsyncIterator[Reaped]:
    """One pass over the expired leases of all ledgers, or of one only."""
    return reap_expired_leases(ledger.engine, ledger.store, ledger=only, actor=ledger.settings.actor)


async def reap_patiently(ledger: Ledger, only: str | None = None) -> AsyncIterator[Reaped]:
    """One pass that waits for others who write, in short tries, between which it can be broken off."""
    await shorten_waits(ledger, _TRY)
    since = Stopwatch()
    while True:
        try:
            async for reaped in reap_once(ledger, only):
                yield reaped
            return
        except LedgerBusy:
            if since.seconds > BUSY_TIMEOUT:
                raise
            await asyncio.sleep(_PAUSE)


async def count_due(ledger: Ledger, only: str | None = None) -> int:
    """How many leases a pass would look at."""
    return await count_expired_leases(ledger.engine, ledger.store, ledger=only)


async def reap_forever(
    ledger: Ledger, tell: Callable[[Reaped], object], complain: Callable[[Exception], object], only: str | None = None
) -> None:
    """A pass every so many seconds. A failure is tried again, and told once as long as it stays the same."""
    told = ""
    while True:
        try:
            async for reaped in reap_once(ledger, only):
                tell(reaped)
            told = ""
        except Exception as error:  # one of ours, too: the next pass may do what this one could not
            if (problem := f"{type(error).__name__}: {error}") != told:
                complain(error)
            told = problem
        await pause(ledger.settings.reap_interval)


async def pause(seconds: float) -> None:
    """Wait. Where we slept for longer than we meant to, the workers on this machine did, too: let them renew first."""
    since = Stopwatch()
    await asyncio.sleep(seconds)
    if since.seconds > seconds + _LATE:  # once: a loop that is always late must reap all the same
        await asyncio.sleep(max(seconds, _LATE))
