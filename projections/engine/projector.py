"""Keeps projections up to date, in one process of any number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from sqlalchemy import Engine

from ...domain import InvalidInput, LedgerError
from ...domain.values import check_int
from ...infrastructure.connections import create_sync_engine
from ...infrastructure.database_errors import translated
from .batch import project
from .checkpoints import Due, find_due
from .heads import Heads
from .protocol import Projection

_BREATH = 0.05
"""Seconds between two passes while events keep coming."""
_log = logging.getLogger("execution_ledger.projections")

_AT_ONCE = 100
"""Ledgers looked up for each projection and round: the rest come in the next ones."""
_BATCHES = 20
"""Batches of one ledger before the others have their turn."""
_LONGEST = 60.0
"""Seconds between two tries, where the database does not answer."""


@dataclass(slots=True)
class Progress:
    """What a projector has done since it was started."""

    events: int = 0
    """Positions read, each counted for every projection."""
    failures: int = 0
    """Rounds that the database did not let pass."""
    by_projection: dict[str, int] = field(default_factory=dict)


class Projector:
    """Runs projections over all ledgers. Several processes share them: a ledger of a projection is with one at a time.

    `async with projector.running():` projects in the background; `await projector.catch_up()` does what is due now.
    Statements run in threads, on connections of its own. On SQLite, where one connection writes at a time, batches take
    turns with the ledger's own writes.
    """

    def __init__(
        self,
        database: str | Engine,
        projections: Sequence[Projection],
        heads: Heads | None = None,
        *,
        workers: int = 2,
        batch: int = 500,
        poll: float = 1.0,
    ) -> None:
        """`heads` wakes it when a ledger grows; without, it looks every `poll` seconds. `batch` is in positions."""
        names = [each.name for each in projections]
        if len(set(names)) < len(names):
            raise InvalidInput(field="projections", problem="have a name twice", remedy="Give each a name of its own.")
        self._own = isinstance(database, str)
        self._workers = check_int(workers, "workers", 1)
        self._engine = create_sync_engine(database, pool_size=workers) if isinstance(database, str) else database
        self.projections = tuple(projections)
        self.progress = Progress()
        self._heads = heads
        self._batch = check_int(batch, "batch", 1)
        self._poll = poll
        self._stopping = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Projector]:
        """Project until the context ends; then the batches under way are finished."""
        task = asyncio.create_task(self.run())
        try:
            yield self
        finally:
            self.stop()
            await task
            await self.close()

    async def close(self) -> None:
        """Give back the connections, where it opened them."""
        if self._own:
            await asyncio.to_thread(self._engine.dispose)

    def stop(self) -> None:
        """Have `run` return once the batches under way are committed."""
        self._stopping.set()

    async def run(self) -> None:
        """Project until `stop` is called. Errors of the database are logged, and it is tried again."""
        delay = self._poll
        while not self._stopping.is_set():
            growths = self._heads.growths if self._heads is not None else 0
            try:
                done = await self._pass()
                delay = self._poll
            except LedgerError as error:
                self.progress.failures += 1
                _log.warning("projections wait: %s", error, extra={"action": "projections_wait"})
                done, delay = 0, min(2 * delay, _LONGEST)
            if not done:
                await self._wait(delay, growths)
            elif done < self._batch:  # under load the next pass has as much to do a moment later, for the same price
                await self._rest(_BREATH)

    async def catch_up(self) -> int:
        """Project what there is, and answer how many positions that were, counted for each projection."""
        total = 0
        while done := await self._pass():  # none: other workers have what is left, if anything is
            total += done
            if self._stopping.is_set():
                break
        return total

    async def _pass(self) -> int:
        """Project what is due now."""
        due = await asyncio.to_thread(self._find_due)
        turns = asyncio.Semaphore(self._workers)
        return sum(await asyncio.gather(*(self._project(each, turns) for each in due)))

    async def _project(self, due: Due, turns: asyncio.Semaphore) -> int:
        async with turns:
            return await asyncio.to_thread(self._project_some, due)

    def _project_some(self, due: Due) -> int:
        total = 0
        for _ in range(_BATCHES):
            if self._stopping.is_set():
                break
            with translated():
                done = project(self._engine, due.projection, due.ledger, self._batch)
            total += done
            if done < self._batch:
                break
        self.progress.events += total
        name = due.projection.name
        self.progress.by_projection[name] = self.progress.by_projection.get(name, 0) + total
        return total

    def _find_due(self) -> list[Due]:
        with translated(), self._engine.connect() as connection:
            return [due for each in self.projections for due in find_due(connection, each, None, _AT_ONCE)]

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _wait(self, seconds: float, growths: int) -> None:
        waits: list[asyncio.Task[bool]] = [asyncio.create_task(self._stopping.wait())]
        if self._heads is not None:
            waits.append(asyncio.create_task(self._heads.wait_for_any(since=growths)))
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
