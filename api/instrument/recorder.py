"""Runs and steps of programs that tell when each begins and ends, in any order and from any thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .forks import after_fork
from .ledger import Ledger
from .outbox import CAPACITY, PATIENCE, Outbox, Write
from .runs import current_run
from .values import ERROR, NOTE, TRACEBACK, bounded, label

OPEN = 100_000
"""Runs and steps that may be open at once; what begins beyond that is left out."""

ENDED = 10_000
"""Runs and steps that are remembered after their end, for what begins inside them later."""


@dataclass(eq=False, slots=True)
class Place:
    """A run, or a step of one."""

    key: str
    job_id: str
    step_id: str | None
    outer: Place | None
    """What it lies in; of a run, what it was begun in, if that is recorded, too."""
    name: str
    kind: str | None = None
    trace_id: str | None = None
    begun_at: datetime | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    recorded: bool = True
    """False where there was no room for it, or where it is a part of what it lies in."""
    silent: bool = False
    """Whether it is a part of what it lies in, and is not recorded by itself."""
    late: bool = False
    """Whether it began after the end of its run, which takes no step any more: its end is noted there."""
    ended: bool = False
    handling: int = 0
    """The `id` of the exception that was being handled as it began."""
    notes: int = 0
    inside: set[str] = field(default_factory=set)
    """Of a run: the keys of what is open in it."""

    @property
    def run(self) -> Place:
        """The run that it is part of."""
        place = self
        while place.step_id is not None:
            assert place.outer is not None
            place = place.outer
        return place


class Recorder:
    """Records what is told, by an outbox. None of it waits for the ledger."""

    def __init__(self, ledger: Ledger, *, capacity: int = CAPACITY, context: Context | None = None) -> None:
        self.outbox = Outbox(ledger.backend, capacity=capacity, context=context)
        self._backend = ledger.backend
        self._places: dict[str, Place] = {}
        self._ended: deque[str] = deque()
        self._renew_lock()
        after_fork(self._renew_lock)

    def find(self, key: str | None) -> Place | None:
        """What was begun under this key, as long as it is remembered."""
        return None if key is None else self._places.get(key)

    def begin_run(
        self,
        key: str,
        outer: Place | None,
        at: datetime,
        *,
        kind: str | None = None,
        trace_id: str | None = None,
        **fields: Any,
    ) -> None:
        """A run begins, under a key that is its job id, too; inside another one it is a part of that."""
        with self._lock:
            name = label(fields.get("run_name") or key)
            place = Place(key, key, None, outer, name, kind, trace_id=trace_id, begun_at=at)
            place.attributes = dict(fields.get("attributes") or {})
            around = current_run()
            if outer is not None and outer.run.recorded:
                fields["parent_job_id"] = outer.job_id
            elif around is not None and around.backend is self._backend:
                fields["parent_job_id"] = around.job_id
            said = {name: value for name, value in fields.items() if value not in (None, {})}
            said |= {"run_name": place.name, "status": "running", "occurred_at": at}
            place.recorded = self._begin(place, "create", said)

    def begin_step(
        self,
        key: str,
        outer: Place,
        at: datetime,
        *,
        step_id: str,
        name: str,
        kind: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """A step begins, inside the nearest of what is around it that is open and recorded."""
        with self._lock:
            run = outer.run
            place = Place(key, run.job_id, step_id, outer, label(name) or step_id, kind, run.trace_id, at)
            place.attributes = dict(attributes or {})
            place.late = run.ended
            said = {"step_id": step_id, "name": place.name, "kind": kind, "attributes": place.attributes or None}
            around = _nearest(outer, lambda each: each.recorded and not each.ended and not each.late)
            said = {name: value for name, value in said.items() if value is not None}
            if around.step_id is not None:
                said["parent_step_id"] = around.step_id
            place.recorded = run.recorded and self._begin(place, "start-step", {**said, "occurred_at": at})

    def begin_silent(self, key: str, outer: Place, at: datetime, *, name: str, kind: str) -> None:
        """Something begins that is a part of what it lies in, and is not recorded by itself."""
        with self._lock:
            place = Place(key, outer.job_id, key, outer, name, kind, begun_at=at, recorded=False, silent=True)
            self._keep(key, place)

    def go_on(self, key: str, place: Place, at: datetime) -> None:
        """A run that waits goes on, under another key, too."""
        with self._lock:
            self._keep(key, place)
            self._put(place, "update", {"status": "running", "occurred_at": at}, f"go-on-{key}", must=True)

    def wait(self, place: Place, at: datetime, message: str) -> None:
        """A run waits for a person."""
        with self._lock:
            place.notes += 1
            said = {"status": "waiting_for_approval", "message": bounded(message, ERROR), "occurred_at": at}
            self._put(place, "update", said, f"wait-{place.notes}", must=True)

    def note(
        self, place: Place, at: datetime, text: str, *, level: str = "info", source: str, data: Any = None
    ) -> None:
        """Keep a remark on what is open or was."""
        with self._lock:
            place = _nearest(place, lambda each: not each.silent)
            place.notes += 1
            said = {"text": bounded(text, NOTE) or "(nothing)", "level": level, "source": label(source), "data": data}
            if place.step_id is not None and not place.late:
                said["step_id"] = place.step_id
            self._put(place, "note", {**said, "occurred_at": at}, f"note-{place.notes}")

    def fault(self, place: Place, at: datetime, text: str) -> None:
        """Keep a traceback."""
        self.note(place, at, bounded(text, TRACEBACK), level="error", source="traceback")

    def end(
        self,
        place: Place,
        at: datetime,
        outcome: str = "completed",
        *,
        result: Any = None,
        error: str | None = None,
        **fields: Any,
    ) -> None:
        """It ended, as one of `StepOutcome`; `fields` are further ones of a run. What ended before is left alone."""
        with self._lock:
            if place.ended:
                return
            place.ended = True
            # With a run, also what is open in it and may never end.
            for key in [place.key] if place.step_id is not None else list(place.inside):
                self._forget(key, place)
            if place.silent:
                return
            told = {"result": result, "error": None if error is None else bounded(error, ERROR)}
            told = {name: value for name, value in told.items() if value is not None}
            if place.step_id is None:
                said = {**fields, **told, "status": outcome}
            else:
                said = {**told, "step_id": place.step_id, "outcome": outcome}
            if place.late:
                self._note_late(place, at, outcome, told)
            else:
                command = "update" if place.step_id is None else "finish-step"
                self._put(place, command, {**said, "occurred_at": at}, "end", must=True)

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait until all that was told so far is written; False where that takes longer."""
        return self.outbox.flush(seconds)

    def close(self, seconds: float = PATIENCE) -> None:
        """Record nothing more, and write what waits, for so long at most."""
        self.outbox.close(seconds)

    def _renew_lock(self) -> None:
        # Reentrant: what is collected while it is held may end a span.
        self._lock = threading.RLock()

    def _begin(self, place: Place, command: str, fields: dict[str, Any]) -> bool:
        if len(self._places) - len(self._ended) >= OPEN:
            return self.outbox.leave_out(1)
        self._keep(place.key, place)
        return place.late or self.outbox.put(self._write(place, command, fields, "begin"))

    def _keep(self, key: str, place: Place) -> None:
        self._places[key] = place
        place.run.inside.add(key)

    def _forget(self, key: str, place: Place) -> None:
        """Remember it for a while only."""
        inside = place.run.inside
        if key in inside:
            inside.remove(key)
            self._ended.append(key)
        while len(self._ended) > ENDED:
            self._places.pop(self._ended.popleft(), None)

    def _put(self, place: Place, command: str, fields: dict[str, Any], key: str, *, must: bool = False) -> None:
        if place.recorded:
            self.outbox.put(self._write(place, command, fields, key), must=must)
        else:
            self.outbox.leave_out(1)

    def _write(self, place: Place, command: str, fields: dict[str, Any], key: str) -> Write:
        named = place.job_id if place.step_id is None else f"{place.job_id}-{place.step_id}"
        return Write(place.job_id, command, fields, f"{named}-{key}", place.trace_id)

    def _note_late(self, place: Place, at: datetime, outcome: str, told: dict[str, Any]) -> None:
        assert place.begun_at is not None
        data = {"kind": place.kind, "attributes": place.attributes, "outcome": outcome, **told}
        data |= {"started_at": place.begun_at.isoformat(), "finished_at": at.isoformat()}
        level = "error" if outcome == "failed" else "info"
        said = {"text": f"After the end of the run: {place.name}", "level": level, "source": "late step", "data": data}
        self._put(place, "note", {**said, "occurred_at": at}, "late", must=True)


def _nearest(place: Place, is_it: Callable[[Place], bool]) -> Place:
    """The place, or the nearest one around it in its run that is it; else the run."""
    while place.step_id is not None and not is_it(place):
        assert place.outer is not None
        place = place.outer
    return place


class Recording:
    """What tells a recorder, and how much of that was not recorded."""

    _recorder: Recorder

    @property
    def dropped(self) -> int:
        """Writes that were left out: there was no room for them, or no time at the end."""
        return self._recorder.outbox.dropped

    @property
    def refused(self) -> int:
        """Writes that the ledger would not take."""
        return self._recorder.outbox.refused
