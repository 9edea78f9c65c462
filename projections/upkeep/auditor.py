"""Verifies samples all the time, so that what goes wrong is known before somebody asks."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, select

from ...domain import LedgerError
from ...domain.values import check_int, check_seconds
from ...infrastructure.database_errors import translated
from ...infrastructure.event_store import utc_now
from ...infrastructure.tables import ledgers
from .differences import Difference
from .pages import read_page, snapshot
from .verify import verify_executions

_log = logging.getLogger("execution_ledger.projections")


@dataclass(slots=True)
class AuditedLedger:
    """What was sampled of one ledger."""

    executions: int = 0
    mismatches: int = 0
    """Differences that were found, each time they were."""
    last_at: datetime | None = None
    """When the last sample was taken."""


@dataclass(slots=True)
class Audited:
    """What an auditor has done since it was started: numbers for a dashboard."""

    ledgers: dict[str, AuditedLedger] = field(default_factory=dict[str, AuditedLedger])
    """Those of which a sample was taken, by name."""
    failures: int = 0
    """Samples that the database did not let it take."""

    @property
    def executions(self) -> int:
        """Of all ledgers."""
        return sum(each.executions for each in list(self.ledgers.values()))

    @property
    def mismatches(self) -> int:
        """Of all ledgers."""
        return sum(each.mismatches for each in list(self.ledgers.values()))


class BackgroundAuditor:
    """Folds a few executions, chosen by chance, of a ledger chosen by chance, again and again."""

    def __init__(
        self,
        engine: Engine,
        *,
        sample: int = 20,
        every: float = 10.0,
        found: Callable[[Difference], object] | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Every so many seconds `sample` executions at most. `found` is told each difference, in a thread."""
        self._engine = engine
        self._sample = check_int(sample, "sample", 1)
        self._every = check_seconds(every, "every")
        self._found = found
        self._chance = chance or random.Random()
        self.audited = Audited()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BackgroundAuditor]:
        """Audit until the context ends."""
        stopping = asyncio.Event()
        task = asyncio.create_task(self._run(stopping))
        try:
            yield self
        finally:
            stopping.set()
            await task

    async def _run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await asyncio.to_thread(self.audit_once)
            except LedgerError as error:
                self.audited.failures += 1
                _log.warning("no sample could be verified: %s", error, extra={"action": "audit_failed"})
            try:
                await asyncio.wait_for(stopping.wait(), self._every)
            except TimeoutError:
                continue

    def audit_once(self) -> list[Difference]:
        """Verify one sample now; the differences."""
        with translated(), snapshot(self._engine) as connection:
            head = ledgers.c
            heads = connection.execute(select(head.ledger_id, head.last_id).where(head.last_id > 0)).all()
            if not heads:
                return []
            ledger, last = self._chance.choice(heads)
            page = read_page(connection, ledger, self._chance.randrange(last))[: self._sample]
            different = verify_executions(connection, ledger, page, hashes=True) if page else []
        audited = self.audited.ledgers.setdefault(ledger, AuditedLedger())
        audited.executions += len(page)
        audited.mismatches += len(different)
        audited.last_at = utc_now()
        for each in different:
            _log.error("what is derived is not what the events say: %s", each, extra={"action": "audit_mismatch"})
            if self._found is not None:
                self._found(each)
        return different
