"""Runs and steps as contexts.

Only a beginning is waited for, and may fail. Whatever else there is to tell goes to an outbox, so that the program is
neither held up by the ledger nor broken by it; the end of a run waits a few seconds until all is written.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from contextvars import Context, ContextVar, Token, copy_context
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from .backends import Backend, Write
from .outbox import PATIENCE, Outbox
from .values import NOTE, WHOLE, bounded, describe, label, plain, traced

_run: ContextVar[Run | None] = ContextVar("execution_ledger_run", default=None)
_step: ContextVar[Step | None] = ContextVar("execution_ledger_step", default=None)

_STEP_ID = 240
"""Characters of a step id that are kept: there must be room for a number."""
_TRACED = "_execution_ledger_traced"
"""What an exception has as an attribute, once its traceback is kept: the job id of the run."""


def current_run() -> Run | None:
    """The run that this code is part of."""
    return _run.get()


def step(step_id: str, *, kind: str | None = None, attributes: Mapping[str, Any] | None = None) -> Step:
    """A step of the run that this code is part of; outside of any, it is recorded nowhere."""
    return Step(current_run(), step_id, kind, attributes)


class Run:
    """One execution. What cannot be recorded after its beginning is logged, and the program goes on."""

    def __init__(self, backend: Backend, outbox: Outbox, data: Mapping[str, Any], reason: str | None) -> None:
        self.job_id: str = data.get("job_id") or str(uuid4())
        self.result: Any = None
        """What it gave: recorded at its end, if it does not fail."""
        self.backend = backend
        """Where it is recorded."""
        self._outbox = outbox
        self._data, self._reason = data, reason
        self._process = os.getpid()
        self._numbers: dict[str, Iterator[int]] = {}
        self._steps: dict[str, object] = {}
        self._tokens: tuple[Token[Run | None], Token[Step | None]] | None = None

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException as error:
            if is_cancellation(error):  # Ctrl-C, say: it may have begun
                self._end(error)
            raise
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._end(error)
        self._outbox.settle()

    async def __aenter__(self) -> Self:
        # No task, which might be cancelled, too, before it tells whether the run began.
        begun = asyncio.get_running_loop().run_in_executor(None, copy_context().run, self._begin)
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError as error:
            cancelled = error
            begun.add_done_callback(
                lambda begun: None if begun.cancelled() or begun.exception() else self._end(cancelled)
            )
            raise
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._end(error)
        await asyncio.to_thread(self._outbox.settle)

    def note(self, text: str, *, level: str = "info", source: str | None = None, data: Any = None) -> None:
        """Keep a remark, of the step that is open here, if one is."""
        within = _step.get()
        self.tell(
            "note",
            text=_text(text, NOTE),
            level=level,
            source=None if source is None else label(source),
            step_id=within.step_id if within is not None and within.run is self else None,
            data=plain(data, WHOLE),
        )

    def progress(self, fraction: float, message: str | None = None) -> None:
        """How far it came, from 0 to 1."""
        self.tell("update", progress=fraction, message=None if message is None else _text(message, NOTE))

    def tell(self, command: str, *, must: bool = False, **fields: Any) -> bool:
        """Put a command on this run into the outbox: False where it finds no room; what `must` be told needs none."""
        said = {name: value for name, value in fields.items() if value is not None}
        write = Write(self.job_id, command, {**said, "occurred_at": datetime.now(UTC)}, uuid4().hex)
        return self._outbox.put(write, must=must, patience=PATIENCE)

    def fault(self, error: BaseException, step_id: str | None = None) -> None:
        """Keep the traceback of what a step or the run raised, once."""
        told = vars(error)
        if told.get(_TRACED) != self.job_id:
            told[_TRACED] = self.job_id
            self.tell("note", must=True, text=traced(error), level="error", source="traceback", step_id=step_id)

    def claim(self, step_id: str) -> str:
        """An id for a step that no other step of the run has: a number tells those apart that are called the same."""
        step_id = label(str(step_id), _STEP_ID) or "step"
        if os.getpid() != self._process:  # who was forked beside this process does not know its numbers
            step_id = f"{step_id}#{os.getpid()}"
        mine = object()
        for number in self._numbers.setdefault(step_id, itertools.count(1)):
            claimed = step_id if number == 1 else f"{step_id}#{number}"
            if self._steps.setdefault(claimed, mine) is mine:
                return claimed
        raise AssertionError("numbers have no end")

    def _begin(self) -> None:
        self._process = os.getpid()
        # In one write: what is interrupted has begun, or has not.
        data = {**self._data, "job_id": self.job_id, "status": "running"}
        outer = _run.get()
        if outer is not None and outer.backend is self.backend:
            data["parent_job_id"] = outer.job_id
        begin = partial(self.backend.call, "create_execution", data, reason=self._reason, command_id=uuid4().hex)
        # In a context of its own: what is logged there is no part of the run around it.
        Context().run(begin, occurred_at=datetime.now(UTC))

    def _end(self, error: BaseException | None) -> None:
        if os.getpid() != self._process:
            return  # a fork that leaves the block ends itself
        if error is None:
            self.tell("update", must=True, status="completed", result=plain(self.result, WHOLE))
        elif is_cancellation(error):
            self.tell("update", must=True, status="cancelled", stop_reason=type(error).__name__)
        else:
            self.fault(error)
            self.tell("update", must=True, status="failed", error=describe(error))

    def _enter(self) -> None:
        self._tokens = _run.set(self), _step.set(None)

    def _leave(self) -> None:
        if self._tokens is not None:
            _reset(_run, self._tokens[0])
            _reset(_step, self._tokens[1])


class Step:
    """One step of a run, inside the step that is open where it begins."""

    def __init__(self, run: Run | None, name: str, kind: str | None, attributes: Mapping[str, Any] | None) -> None:
        self.run = run
        self.step_id = name
        """Its id; where the run has such a step already, one with a number, once it has begun."""
        self.result: Any = None
        """What it gave."""
        self._name, self._kind, self._attributes = name, kind, attributes
        self._token: Token[Step | None] | None = None

    def __enter__(self) -> Self:
        if self.run is None:
            return self
        outer = _step.get()
        self.step_id = self.run.claim(self._name)
        begun = self.run.tell(
            "start-step",
            step_id=self.step_id,
            name=label(str(self._name)) or self.step_id,
            kind=self._kind,
            parent_step_id=outer.step_id if outer is not None and outer.run is self.run else None,
            attributes={label(str(name)): plain(value) for name, value in (self._attributes or {}).items()} or None,
        )
        # What is not begun for lack of room is not ended, and nothing lies in it.
        self._token = _step.set(self) if begun else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.run is None or self._token is None:
            return
        _reset(_step, self._token)
        end: dict[str, Any] = {"outcome": "completed", "result": plain(self.result, WHOLE)}
        if error is not None and is_cancellation(error):
            end = {"outcome": "cancelled"}
        elif error is not None:
            self.run.fault(error, self.step_id)
            end = {"outcome": "failed", "error": describe(error)}
        self.run.tell("finish-step", must=True, step_id=self.step_id, **end)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def is_cancellation(error: BaseException) -> bool:
    """Whether somebody wanted it to end."""
    return isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit))


def _reset(variable: ContextVar[Any], token: Token[Any]) -> None:
    with suppress(ValueError):  # left in another context than entered, as a fixture is: nothing was set there
        variable.reset(token)


def _text(said: Any, length: int) -> str:
    return bounded(said if isinstance(said, str) else str(plain(said)), length) or "(nothing)"
