"""`record`: a command, or several steps, run as one execution of the ledger."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from ...domain import LedgerBusy
from ...infrastructure import HeldLease, Settings
from ...infrastructure.connections import BUSY_TIMEOUT
from ...infrastructure.stopwatch import Stopwatch
from ..runtime import sqlite_file
from ..terminal.progress import entered
from .arguments import Plan, Step
from .backends import Backend, open_backend
from .notices import Notices
from .output import CHUNK, Budget, Chunk, Output
from .process import Ended, NotStarted, run_process
from .signals import Signals
from .start import STEP_VARIABLE, Begun, begin, environment
from .writer import LedgerWriter

NOT_RECORDED = 125
"""Exit status where the command did well, but its outcome was not recorded or its output not passed on."""

_LEFT_BEHIND = "A process that the command left behind still holds its output; what it prints is not recorded."
_TICK = 0.1
_ERROR_LENGTH = 4_000


class BrokenOff(Exception):
    """An error that came after the run was begun."""

    def __init__(self, job_id: str, error: Exception) -> None:
        super().__init__(job_id, error)
        self.job_id = job_id
        self.error = error


async def record(plan: Plan, settings: Settings, actor: str) -> int:
    """Run the plan and answer the exit status; any error but `BrokenOff` says that nothing was run."""
    notices = Notices(plan.quiet)
    signals = Signals(plan.grace)
    job_id: str | None = None
    try:
        # From before the first event on: whatever is recorded as begun is also recorded as cancelled.
        with signals.installed():
            async with entered(open_backend(settings, actor), notices.waiting("open the ledger")) as backend:
                writing = f"wait for {_keeper_of(settings)}"
                with notices.waiting(writing):
                    job_id, lease, since = await _begin(plan, backend, settings.lease_ttl, signals)
                notices.began(job_id)
                held = HeldLease(backend.keeper, lease, settings.lease_ttl, since)
                async with held.kept():
                    writer = LedgerWriter(backend, job_id, lease)
                    run = Run(plan, settings, actor, job_id, writer, signals)
                    await run.execute()
                    with notices.waiting(writing):
                        await writer.close(plan.ledger_wait, signals.unheard)
                if not (len(writer) or writer.refused):  # else the ledger may not know how it ended: a reaper ends it
                    await held.release()
            notices.ended(job_id, run.status, run.duration, run.error, writer, run.lost_output)
    except Exception as error:
        if job_id is None:
            raise
        raise BrokenOff(job_id, error) from error
    lost = len(writer) or writer.refused or run.lost_output
    return NOT_RECORDED if lost and run.exit_code == 0 else run.exit_code


def _keeper_of(settings: Settings) -> str:
    """Whom a write waits for, where it takes long."""
    if settings.url is not None:
        return f"the service at {settings.url}"
    file = sqlite_file(settings.database_url)
    return "the database" if file is None else f"another process that writes to {file.name}"


async def _begin(plan: Plan, backend: Backend, ttl: float, signals: Signals) -> Begun:
    """Record the beginning, which waits for others who write, until a signal comes."""
    since = Stopwatch()
    while True:
        try:
            return await _try_to_begin(plan, backend, ttl, signals)
        except LedgerBusy:
            if signals.received is not None:
                raise SystemExit(128 + signals.received) from None
            if since.seconds > BUSY_TIMEOUT:
                raise
            await asyncio.sleep(_TICK)


async def _try_to_begin(plan: Plan, backend: Backend, ttl: float, signals: Signals) -> Begun:
    """Once; after a signal, a ledger that does not answer is waited for no longer than `grace`."""
    beginning = asyncio.create_task(begin(plan, backend, ttl))
    signalled = asyncio.create_task(signals.unheard.wait())
    await asyncio.wait({beginning, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    await asyncio.wait({beginning}, timeout=plan.grace)
    if not beginning.done():
        beginning.cancel()
        await asyncio.wait({beginning}, timeout=1)
        raise SystemExit(128 + (signals.received or signal.SIGINT))
    return beginning.result()


class Run:
    """The commands of a plan, one after the other."""

    def __init__(
        self, plan: Plan, settings: Settings, actor: str, job_id: str, writer: LedgerWriter, signals: Signals
    ) -> None:
        self.status = "completed"
        self.error: str | None = None
        self.exit_code = 0
        self.duration = 0.0
        self.lost_output: str | None = None
        self._plan = plan
        self._actor = actor
        self._writer = writer
        self._signals = signals
        self._result: dict[str, Any] = {}
        self._ended = datetime.now(UTC)
        limit = settings.max_payload_bytes // 8  # JSON makes up to six bytes of one
        self._budget = Budget(plan.max_output, min(CHUNK, limit))
        self._error_length = min(_ERROR_LENGTH, limit)
        self._env = environment(settings, job_id)

    async def execute(self) -> None:
        """Run everything, to the outcome of the whole."""
        began = datetime.now(UTC)
        for at, step in enumerate(self._plan.steps):
            if self._signals.received is None:
                await self._step(step)
            else:
                self._cancelled(self._signals.received, 128 + self._signals.received)
            if self.status != "completed":
                self._skip(self._plan.steps[at + 1 :])
                break
            if step.name is not None and at + 1 < len(self._plan.steps):
                done = (at + 1) / len(self._plan.steps)
                message = f"{at + 1} of {len(self._plan.steps)} steps done"
                self._writer.put("update_execution", {"progress": done, "message": message}, occurred_at=self._ended)
        self.duration = max((self._ended - began).total_seconds(), 0)
        self._finish()

    async def _step(self, step: Step) -> None:
        began, output = datetime.now(UTC), Output(self._budget)
        if step.name is not None:
            self._writer.put("start_step", step.name, kind="command", occurred_at=began)
        try:
            async with self._noting(output, step.name):
                ended = await run_process(step.argv, self._env_of(step), self._sink(output, step.name), self._signals)
            self._ended = ended.at
            self.lost_output = self.lost_output or ended.lost_output
            for chunk in output.close():
                self._note(chunk._replace(at=min(chunk.at, ended.at)), step.name)
            self._judge(ended, output)
            if ended.left_behind and ended.signalled is None:
                self._writer.put("add_note", _LEFT_BEHIND, level="warning", step_id=step.name, occurred_at=ended.at)
        except NotStarted as error:
            self._ended = datetime.now(UTC)
            self._failed(str(error), error.exit_code)
        seconds = max(round((self._ended - began).total_seconds(), 3), 0)
        self._result = {"exit_code": self.exit_code, "duration_seconds": seconds} | output.totals()
        if step.name is not None:
            self._finish_step(step.name)

    def _finish_step(self, name: str) -> None:
        error = self.error if self.status == "failed" else None
        options = {"result": self._result, "error": error, "occurred_at": self._ended}
        self._writer.put("finish_step", name, self.status, **options)
        self._result = {"exit_code": self.exit_code}
        if self.status != "completed":
            self._result["step"] = name
        if error is not None:
            self.error = f"step {name}: {error}"[: self._error_length]

    def _env_of(self, step: Step) -> dict[str, str]:
        return self._env if step.name is None else self._env | {STEP_VARIABLE: step.name}

    @asynccontextmanager
    async def _noting(self, output: Output, step: str | None) -> AsyncIterator[None]:
        """Turn output into notes as time passes."""

        async def tick() -> None:
            while True:
                await asyncio.sleep(_TICK)
                for chunk in output.due():
                    self._note(chunk, step)

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()

    def _sink(self, output: Output, step: str | None) -> Any:
        async def sink(source: str, data: bytes) -> None:
            for chunk in output.feed(source, data, keep=await self._writer.room()):
                self._note(chunk, step)

        return sink

    def _note(self, chunk: Chunk, step: str | None) -> None:
        self._writer.put(
            "add_note",
            chunk.text,
            level=chunk.level,
            source=chunk.source,
            step_id=step,
            data=chunk.data,
            occurred_at=chunk.at,
            size=len(chunk.text),
        )

    def _judge(self, ended: Ended, output: Output) -> None:
        # A terminal's Ctrl-C reaches the command and us; its end can be seen before our own signal is.
        if ended.signalled is not None or ended.returncode == -signal.SIGINT:
            self._cancelled(ended.signalled or signal.SIGINT, ended.exit_code)
        elif ended.returncode:
            self._failed("\n".join(filter(None, (ended.text, output.error_lines()))), ended.exit_code)

    def _failed(self, error: str, exit_code: int) -> None:
        self.status, self.error, self.exit_code = "failed", error[: self._error_length], exit_code

    def _cancelled(self, by: signal.Signals, exit_code: int) -> None:
        self.status, self.error, self.exit_code = "cancelled", by.name, exit_code

    def _skip(self, steps: tuple[Step, ...]) -> None:
        if steps:
            names = ", ".join(str(step.name) for step in steps)
            why = "had failed" if self.status == "failed" else "was cancelled"
            note = f"Not started, since the run {why}: {names}"
            self._writer.put("add_note", note, level="warning", occurred_at=self._ended)

    def _finish(self) -> None:
        fields: dict[str, Any] = {"status": self.status}
        options: dict[str, Any] = {"occurred_at": self._ended}
        fields["result"] = self._result | {"duration_seconds": round(self.duration, 3)}
        if self.status == "completed" and self._plan.steps[0].name is not None:
            fields |= {"progress": 1.0, "message": f"{len(self._plan.steps)} of {len(self._plan.steps)} steps done"}
        elif self.status == "failed":
            fields["error"] = self.error
        elif self.status == "cancelled":
            fields |= {"stop_reason": self.error, "stop_requested_by": self._actor}
            options["reason"] = f"signal {self.error}"
        self._writer.put("update_execution", fields, **options)
