"""The listener with results of any class. CrewAI itself is a gigabyte: this stands in for its bus and its events.

With the real one: `make test-crewai`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from execution_ledger.api.instrument import Ledger
from support.looking import Look

LISTENER = "execution_ledger.api.instrument.crewai"


class Events(ModuleType):
    """A module that has a class for every name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, type(name, (SimpleNamespace,), {}))
        return getattr(self, name)


class Bus:
    """Calls handlers one after the other."""

    def __init__(self) -> None:
        self.handlers: dict[Any, Any] = {}
        self._ids = (f"event-{number}" for number in itertools.count())

    def register_handler(self, event: Any, handler: Any) -> None:
        self.handlers[event] = handler

    def off(self, event: Any, _: Any) -> None:
        del self.handlers[event]

    def flush(self, _: float) -> bool:
        return True

    def emit(self, kind: Any, **fields: Any) -> str:
        given = {"parent_event_id": None, "started_event_id": None, "timestamp": datetime.now(UTC), **fields}
        event = kind(event_id=next(self._ids), type=kind.__name__, **given)
        asyncio.run(self.handlers[kind](None, event))
        return event.event_id


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    crewai, events = ModuleType("crewai"), Events("crewai.events")
    bus = Bus()

    class BaseEventListener:
        def __init__(self) -> None:
            self.setup_listeners(bus)  # type: ignore[attr-defined]

    events.BaseEventListener, events.bus = BaseEventListener, bus
    events.types = types = ModuleType("crewai.events.types")
    crewai.events, types.flow_events = events, events  # type: ignore[attr-defined]
    for module in (crewai, events, types):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    yield events
    for name in (LISTENER, f"{LISTENER}_events"):
        sys.modules.pop(name, None)


class Frame:
    """As of pandas or numpy: it is compared cell by cell."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("The truth value of a frame is ambiguous.")

    def __repr__(self) -> str:
        return "<frame>"


class Undumpable(Frame):
    """As a model with a field that is no JSON."""

    def model_dump(self, mode: str) -> Any:
        raise TypeError(f"not as {mode}")


class Odd(Exception):
    """An error that cannot say itself."""

    def __str__(self) -> str:
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    ("given", "kept"),
    [(Frame(), "<frame>"), (Undumpable(), "<frame>"), ([Frame()], "[<frame>]"), ({}, None), ("", None), (0, 0)],
    ids=["frame", "model", "inside", "nothing", "no text", "zero"],
)
def test_whatever_a_flow_gives_it_ends(ledger: Ledger, look: Look, events: Any, given: Any, kept: Any) -> None:
    from execution_ledger.api.instrument.crewai import ExecutionLedgerListener

    emit = events.bus.emit
    with ExecutionLedgerListener(ledger) as listener:
        flow = emit(events.FlowStartedEvent, flow_name="f", inputs={"given": given})
        method = emit(events.MethodExecutionStartedEvent, method_name="m", params=given, parent_event_id=flow)
        emit(events.MethodExecutionFinishedEvent, result=given, started_event_id=method)
        failing = emit(events.MethodExecutionStartedEvent, method_name="n", params=None, parent_event_id=flow)
        emit(events.MethodExecutionFailedEvent, error=Odd(), started_event_id=failing)
        emit(events.FlowFinishedEvent, result=given, started_event_id=flow)
        assert listener.flush(60)
        assert (listener.dropped, listener.refused) == (0, 0)
    (run,) = look.runs()
    assert (run.status, run.result) == ("completed", kept)
    steps = look.spans(run.job_id).steps
    assert [(each.name, each.outcome, each.error) for each in steps] == [
        ("m", "completed", None),
        ("n", "failed", "Odd"),
    ]
