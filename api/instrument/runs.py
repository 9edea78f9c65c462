"""Runs and steps as contexts."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import traceback
from abc import ABC, abstractmethod
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from ...domain import LedgerError
from .backends import Backend
from .values import NOTE, TRACEBACK, bounded, describe

_log = logging.getLogger("execution_ledger.instrument")
_run: ContextVar[Run | None] = ContextVar("execution_ledger_run", default=None)
_step: ContextVar[Step | None] = ContextVar("execution_ledger_step", default=None)


def current_run() -> Run | None:
    """The run that this code is part of."""
    return _run.get()


def step(step_id: str, *, kind: str | None = None, attributes: dict[str, Any] | None = None) -> Step:
    """A step of the run that this code is part of; outside of any, it is recorded nowhere."""
    return Step(current_run(), step_id, kind, attributes)


class _Context(ABC):
    """What begins and ends, for `with` and for `async with`, which leaves the loop free meanwhile."""

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _end(self, error: BaseException | None) -> None: ...

    @abstractmethod
    def _enter(self) -> None: ...

    @abstractmethod
    def _leave(self) -> None: ...

    def __enter__(self) -> Self:
        self._begin()
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._end(error)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._begin)
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        # Also where the task is being cancelled: how it ended is to be recorded.
        await asyncio.shield(asyncio.to_thread(self._end, error))


class Run(_Context):
    """One execution. What cannot be recorded after its beginning is logged, and the program goes on."""

    def __init__(self, backend: Backend, data: dict[str, Any], reason: str | None) -> None:
        self.job_id: str = data.get("job_id") or str(uuid4())
        self.result: Any = None
        """What it gave: recorded at its end, if it does not fail."""
        self.backend = backend
        """Where it is recorded."""
        self._data, self._reason = data, reason
        self._prefix = secrets.token_hex(8)
        self._count = 0
        self._tokens: tuple[Token[Run | None], Token[Step | None]] | None = None

    def note(self, text: str, *, level: str = "info", source: str | None = None, data: Any = None) -> None:
        """Keep a remark, of the step that is open here, if one is."""
        within = _step.get()
        step_id = within.step_id if within is not None and within.run is self else None
        self.tell("add_note", bounded(text, NOTE), level=level, source=source, step_id=step_id, data=data)

    def progress(self, fraction: float, message: str | None = None) -> None:
        """How far it came, from 0 to 1."""
        fields = {"progress": fraction} | ({} if message is None else {"message": message})
        self.tell("update_execution", fields)

    def tell(self, method: str, *arguments: Any, **options: Any) -> None:
        """Call a method of the repository on this run."""
        self._count += 1
        key = f"{self._prefix}-{os.getpid()}-{self._count}"  # a forked process counts on by itself
        try:
            self.backend.call(method, self.job_id, *arguments, command_id=key, **options)
        except LedgerError as error:
            _log.warning(
                "%s of run %s was not recorded: %s", method, self.job_id, error,
                extra={"action": "not_recorded", "job_id": self.job_id},
            )  # fmt: skip

    def _begin(self) -> None:
        outer = _run.get()
        data = {**self._data, "job_id": self.job_id}
        if outer is not None:
            data["parent_job_id"] = outer.job_id
        self.backend.call("create_execution", data, reason=self._reason, command_id=f"{self._prefix}-create")
        self.backend.call("transition", self.job_id, "started", command_id=f"{self._prefix}-start")

    def _enter(self) -> None:
        self._tokens = _run.set(self), _step.set(None)

    def _leave(self) -> None:
        assert self._tokens is not None
        _run.reset(self._tokens[0])
        _step.reset(self._tokens[1])

    def _end(self, error: BaseException | None) -> None:
        if error is None:
            self.tell("transition", "completed", {} if self.result is None else {"result": self.result})
        elif is_cancellation(error):
            self.tell("transition", "cancelled", {"stop_reason": type(error).__name__})
        else:
            text = "".join(traceback.format_exception(error))
            self.tell("add_note", bounded(text, TRACEBACK), level="error", source="traceback")
            self.tell("transition", "failed", {"error": describe(error)})


class Step(_Context):
    """One step of a run, inside the step that is open where it begins."""

    def __init__(self, run: Run | None, step_id: str, kind: str | None, attributes: dict[str, Any] | None) -> None:
        self.run = run
        self.step_id = step_id
        self.result: Any = None
        """What it gave."""
        self._kind, self._attributes = kind, attributes
        self._token: Token[Step | None] | None = None

    def _begin(self) -> None:
        outer = _step.get()
        parent = outer.step_id if outer is not None and outer.run is self.run else None
        if self.run is not None:
            options = {"kind": self._kind, "attributes": self._attributes, "parent_step_id": parent}
            self.run.tell("start_step", self.step_id, **options)

    def _enter(self) -> None:
        self._token = _step.set(self)

    def _leave(self) -> None:
        assert self._token is not None
        _step.reset(self._token)

    def _end(self, error: BaseException | None) -> None:
        if self.run is None:
            return
        outcome = "completed" if error is None else "cancelled" if is_cancellation(error) else "failed"
        told = describe(error) if error is not None and outcome == "failed" else None
        self.run.tell("finish_step", self.step_id, outcome, result=self.result if error is None else None, error=told)


def is_cancellation(error: BaseException) -> bool:
    """Whether somebody wanted it to end."""
    return isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit))
