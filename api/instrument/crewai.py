"""Crews and flows of CrewAI as runs, with their tasks, agents, tools and calls of models as steps. Needs `crewai`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

# An extra that is not among what develops this.
from crewai.events import BaseEventListener  # type: ignore[import-not-found]
from crewai.events.types import flow_events  # type: ignore[import-not-found]

from .crewai_events import REMARKS, SCOPES, Scope
from .endings import before_the_end
from .ledger import Ledger
from .outbox import CAPACITY, PATIENCE
from .recorder import Place, Recorder, Recording
from .values import describe, plain, traced

SOURCE = "crewai"
_log = logging.getLogger("execution_ledger.instrument")


class ExecutionLedgerListener(Recording, BaseEventListener):
    """Records crews and flows, from when it is made until it is closed, or left as a context.

    CrewAI never waits for the ledger, nor fails with it.
    """

    def __init__(self, ledger: Ledger, *, inputs: bool = True, result: bool = True, capacity: int = CAPACITY) -> None:
        """Without `inputs` and `result`, what goes in and what comes out (prompts and answers among it) is left out.

        `capacity` writes may wait; the ledger is yours to close, after this.
        """
        self._recorder = Recorder(ledger, capacity=capacity)
        self._inputs, self._result = inputs, result
        self._waiting: dict[str, Place] = {}
        """Flows that wait for a person, by their own id."""
        self._warned = False
        self._bus: Any = None
        super().__init__()
        before_the_end(self.flush)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def setup_listeners(self, crewai_event_bus: Any) -> None:
        """Listen; CrewAI calls it."""
        self._bus = crewai_event_bus
        for event in _HANDLED:
            crewai_event_bus.register_handler(event, self._take)

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait until all that has happened so far is written; False where that takes longer."""
        return self._bus.flush(seconds) and self._recorder.flush(seconds)

    def close(self) -> None:
        """Listen no more, and write what waits, for a few seconds at most."""
        self._bus.flush(PATIENCE)
        for event in _HANDLED:
            self._bus.off(event, self._take)
        self._recorder.close(PATIENCE)

    async def _take(self, source: Any, event: Any) -> None:
        # A coroutine function, though it waits for nothing: those are called one after the other, as things happened.
        # What CrewAI replays, when a run is resumed, is known by its keys, and what comes then has its place again.
        try:
            _HANDLED[type(event)](self, source, event)
        except Exception as error:
            if not self._warned:
                self._warned = True
                _log.warning("An event is not recorded: %s", error, exc_info=error, extra={"action": "not_recorded"})

    def _begin(self, scope: Scope, source: Any, event: Any) -> None:
        key, at = event.event_id, event.timestamp
        outer = self._recorder.find(event.parent_event_id)
        name = str(_get(event, scope.name) or scope.kind)
        if scope.kind in ("crew", "flow") and outer is not None and outer.run.ended:
            outer = None  # CrewAI leaves what failed on its stack
        if scope.kind == "flow" and outer is not None and outer.kind == "agent":
            self._recorder.begin_silent(key, outer, at, name=name, kind=scope.kind)  # an agent works as a flow
        elif scope.kind == "flow" and (waits := self._waiting.pop(str(_get(source, "flow_id")), None)) is not None:
            self._recorder.go_on(key, waits, at)
        elif scope.kind in ("crew", "flow") or (scope.kind == "agent" and outer is None):
            given = self._kept(scope.inputs, event) if self._inputs else {}
            attributes = {"flow_id": flow_id} if (flow_id := _get(source, "flow_id")) else {}
            self._recorder.begin_run(
                key,
                outer,
                at,
                kind=scope.kind,
                run_name=name,
                execution_type=scope.kind,
                inputs=next(iter(given.values()), None),
                attributes=attributes,
            )
        elif outer is not None:
            attributes = self._kept(scope.inputs, event) if self._inputs else {}
            self._recorder.begin_step(key, outer, at, step_id=key, name=name, kind=scope.kind, attributes=attributes)

    def _end(self, scope: Scope, event: Any, outcome: str) -> None:
        begun = place = self._recorder.find(event.started_event_id)
        while place is not None and place.kind != scope.kind:
            place = place.outer
        if place is None:
            return
        error = _error(event)
        if outcome == "completed" and (error is not None or getattr(event, "success", True) is False):
            outcome, error = "failed", error or "It was not accepted."
        # What an exception went through says nothing of its end, and CrewAI takes the innermost for what ends here.
        while begun is not None and begun is not place:
            self._recorder.end(begun, event.timestamp, "failed" if outcome == "failed" else "cancelled", error=error)
            begun = begun.outer
        raised = getattr(event, "error", None)
        if isinstance(raised, BaseException):
            self._recorder.fault(place, event.timestamp, traced(raised))
        kept = self._kept(scope.results, event) if self._result and outcome == "completed" else {}
        result = next(iter(kept.values()), None) if len(scope.results) == 1 else kept or None
        fields: dict[str, Any] = {}
        if place.step_id is None and getattr(event, "total_tokens", 0):
            fields["attributes"] = {**place.attributes, "total_tokens": event.total_tokens}
        self._recorder.end(place, event.timestamp, outcome, result=result, error=error, **fields)

    def _pause(self, event: Any) -> None:
        """A flow, or a method of it, waits for a person; it goes on with another event."""
        place = self._recorder.find(event.started_event_id)
        if place is None:
            return
        if place.step_id is None:
            self._waiting[event.flow_id] = place
            self._recorder.wait(place, event.timestamp, event.message)
        else:
            self._recorder.end(place, event.timestamp, result={"waits_for": plain(event.message)})

    def _remark(self, event: Any, level: str, path: str) -> None:
        place = self._recorder.find(event.parent_event_id)
        if place is None:
            return
        said = _get(event, path)
        if level != "info" or self._inputs:
            self._recorder.note(place, event.timestamp, f"{event.type}: {said}", level=level, source=SOURCE)

    def _kept(self, paths: tuple[str, ...], event: Any) -> dict[str, Any]:
        # As JSON first: what a tool returns may be of any class, and raise when it is compared.
        found = {path.rpartition(".")[2]: _shown(_get(event, path)) for path in paths}
        return {name: value for name, value in found.items() if value not in (None, "", {}, [])}


def _get(thing: Any, path: str) -> Any:
    for part in path.split("."):
        thing = thing.get(part) if isinstance(thing, Mapping) else getattr(thing, part, None)
    return thing


def _shown(value: Any) -> Any:
    """A value as JSON or text; what models return, as they say it."""
    with suppress(Exception):  # of a class that cannot be dumped: shown as any other object
        if hasattr(value, "model_dump"):
            raw = getattr(value, "raw", None)
            json = getattr(value, "json_dict", None)
            return plain(json or (raw if isinstance(raw, str) else value.model_dump(mode="json")))
    return plain(value)


def _error(event: Any) -> str | None:
    said = getattr(event, "error", None) or _get(event, "failure.message")
    if said is None:
        return None
    return describe(said) if isinstance(said, BaseException) else str(plain(said))


_Handler = Callable[[ExecutionLedgerListener, Any, Any], None]


def _handlers() -> dict[type[Any], _Handler]:
    """What is done with each event."""
    handlers: dict[type[Any], _Handler] = {}

    def begin(scope: Scope, listener: ExecutionLedgerListener, source: Any, event: Any) -> None:
        listener._begin(scope, source, event)

    def end(scope: Scope, outcome: str, listener: ExecutionLedgerListener, _: Any, event: Any) -> None:
        listener._end(scope, event, outcome)

    def remark(level: str, path: str, listener: ExecutionLedgerListener, _: Any, event: Any) -> None:
        listener._remark(event, level, path)

    def pause(listener: ExecutionLedgerListener, _: Any, event: Any) -> None:
        listener._pause(event)

    for scope in SCOPES:
        handlers[scope.begins] = partial(begin, scope)
        handlers[scope.completes] = partial(end, scope, "completed")
        if scope.fails is not None:
            handlers[scope.fails] = partial(end, scope, "failed")
    for event, (level, path) in REMARKS.items():
        handlers[event] = partial(remark, level, path)
    for event in (flow_events.FlowPausedEvent, flow_events.MethodExecutionPausedEvent):
        handlers[event] = pause
    return handlers


_HANDLED = _handlers()
