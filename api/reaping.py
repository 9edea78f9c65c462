"""Reaping again and again, as `serve` and `reap --watch` do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from ..infrastructure import Reaped, reap_expired_leases
from ..infrastructure.stopwatch import Stopwatch
from .runtime import Ledger

_LATE = 2.0
"""Seconds by which a pass may come too late before we take it that the machine was suspended, or its clock set."""


def reap_once(ledger: Ledger, only: str | None = None) -> AsyncIterator[Reaped]:
    """One pass over the expired leases of all ledgers, or of one only."""
    return reap_expired_leases(ledger.engine, ledger.store, ledger=only, actor=ledger.settings.actor)


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
