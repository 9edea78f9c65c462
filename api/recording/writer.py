"""Writing to the ledger while a command runs: in order, in groups, and never in the command's way."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from ...domain import (
    EngineNotConfigured,
    IllegalTransition,
    LeaseLost,
    LedgerBusy,
    LedgerError,
    SchemaNotReady,
    StoreError,
    StoreUnavailable,
)
from ...infrastructure import ExecutionHistory, Lease
from .backends import Backend

DOWN = (StoreUnavailable, StoreError, LedgerBusy, SchemaNotReady, EngineNotConfigured)
"""What may pass, so that it is tried again."""
WAITING_BYTES = 8 * 1024**2
"""Output that waits for the ledger at most; what comes on top is counted and left out."""

_PATIENCE = 5.0
_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0)


class Operation(NamedTuple):
    """One call of the repository; its command id makes a second try harmless."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    size: int


class LedgerWriter:
    """Takes what is to be written at once, and writes it in the background, again and again until the ledger has it."""

    def __init__(self, backend: Backend, job_id: str, lease: Lease) -> None:
        self.job_id = job_id
        self.refused: list[LedgerError] = []
        """What the ledger would not take."""
        self.trouble: LedgerError | None = None
        """Why the last try failed; None while all is well."""
        self.ended_by_another: ExecutionHistory | None = None
        """The run, where it had ended before its outcome was told."""
        self._backend = backend
        self._lease = lease
        self._prefix = f"record-{secrets.token_hex(8)}"
        self._count = 0
        self._unstarted: set[str] = set()
        """Steps that the ledger did not take any more; what they say is noted on the run itself."""
        self._waiting: deque[Operation] = deque()
        self._bytes = 0
        self._behind = False
        self._closing = False
        self._changed = asyncio.Event()
        self._written = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, method: str, *arguments: Any, size: int = 0, **options: Any) -> None:
        """Call this method of the repository, after all that was put before; it happened now, unless said otherwise."""
        self._count += 1
        options.setdefault("occurred_at", datetime.now(UTC))
        options["command_id"] = f"{self._prefix}-{self._count}"
        self._waiting.append(Operation(method, arguments, options, size))
        self._bytes += size
        self._changed.set()

    async def room(self) -> bool:
        """Whether more output may be put; waits a moment for a ledger that is merely slow."""
        if self._bytes < WAITING_BYTES:
            return True
        if not self._behind:
            self._written.clear()
            try:
                await asyncio.wait_for(self._written.wait(), _PATIENCE)
            except TimeoutError:
                self._behind = True
        return self._bytes < WAITING_BYTES

    async def close(self, seconds: float, hurry: asyncio.Event) -> None:
        """Write what waits, for so long at most; `hurry` ends the wait."""
        self._closing = True
        self._changed.set()
        hurry.clear()
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait({self._task, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
        elif not self._task.cancelled() and (error := self._task.exception()):
            raise error

    async def _run(self) -> None:
        failures = 0
        while self._waiting or not self._closing:
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            group = list(islice(self._waiting, self._backend.most))
            try:
                await self._write(group)
            except DOWN as error:
                self.trouble = error
                await asyncio.sleep(_DELAYS[min(failures, len(_DELAYS) - 1)])
                failures += 1
                continue
            failures, self.trouble = 0, None
            for _ in group:
                self._bytes -= self._waiting.popleft().size
            self._behind = False
            self._written.set()

    async def _write(self, group: Sequence[Operation]) -> None:
        try:
            async with self._backend.executions(together=True) as executions:
                for operation in group:
                    await self._call(executions, operation)
        except DOWN:
            raise
        except LedgerError:
            # Refused as a whole: another writer changed the run in between. One by one, each has its own answer.
            refused: list[LedgerError] = []
            for operation in group:
                try:
                    async with self._backend.executions(together=False) as executions:
                        await self._call(executions, operation)
                except DOWN:
                    raise
                except LedgerError as error:
                    refused.append(error)
            self.refused += refused

    async def _call(self, executions: Any, operation: Operation) -> None:
        options: Any = operation.options
        if operation.method == "finish_step" and operation.arguments[0] in self._unstarted:
            return
        if options.get("step_id") in self._unstarted:
            options = options | {"step_id": None}
        outcome = operation.method == "update_execution" and "status" in operation.arguments[0]
        try:
            await self._send(executions, operation, options | {"lease": self._lease})
        except LeaseLost:
            # We were silent for too long. An outcome would be kept if the run had ended; so somebody else works on it.
            if outcome:
                raise
            if operation.method != "update_execution":  # what the command said and did is still worth keeping
                await self._send(executions, operation, options)
        except IllegalTransition:
            # Somebody else ended the run meanwhile. What its outcome would have been is kept, progress is of no use.
            if outcome or operation.method != "update_execution":
                raise

    async def _send(self, executions: Any, operation: Operation, options: Any) -> None:
        try:
            run = await getattr(executions, operation.method)(self.job_id, *operation.arguments, **options)
        except IllegalTransition:
            if operation.method != "start_step":
                raise
            self._unstarted.add(operation.arguments[0])
        else:
            if run is not None and run.late_outcome is not None:
                self.ended_by_another = run
