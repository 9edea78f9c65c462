"""What ledgers and sessions should do, written by hand from the design, on top of `rules`.

A `World` is what is committed, or what a transaction sees; a `Unit` holds what a session decided with `commit=False`
and did not append yet.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from model.rules import Call, Event, Refused, Run, decide


@dataclass
class Ledger:
    """One ledger: executions by id, events by position, and the receipts of commands."""

    runs: list[Run] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    receipts: dict[str, tuple[str, Run]] = field(default_factory=dict)
    """Command id → fingerprint, and the execution as the command left it."""

    def find(self, target: int | str) -> Run | None:
        for run in self.runs:
            if target in (run.id, run.job_id):
                return run
        return None

    def shown(self) -> list[Run]:
        return [run for run in self.runs if not run.deleted]

    def counters(self) -> Counter[str]:
        return Counter(run.row["status"] for run in self.shown())


World = dict[str, Ledger]


@dataclass
class Waiting:
    """One execution with calls that are decided and not yet appended."""

    ledger: str
    base: int
    """The version that was read; 0 where the execution begins here."""
    run: Run
    calls: list[Call] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    told: dict[str, Run] = field(default_factory=dict)
    """Command id → the execution as the command leaves it."""
    answered: dict[str, Run] = field(default_factory=dict)
    """Command id → the execution as the command was answered; another session's write can make that out of date."""
    handed_out: list[Any] = field(default_factory=list)
    """Entities that the code returned for an execution without an id."""


@dataclass
class Unit:
    """One session: what it sees, and what it will append."""

    seen: World | None = None
    """Its open transaction, once something was appended in it."""
    waiting: dict[tuple[str, str], Waiting] = field(default_factory=dict)
    savepoints: list[World] = field(default_factory=list)

    def forget(self) -> None:
        """A rollback."""
        self.seen = None
        self.waiting = {}
        self.savepoints = []

    def resolve(self, world: World, call: Call) -> Run | None:
        """The execution that a call is about, as this session would find it."""
        ledger = world.get(call.ledger, Ledger())
        found = ledger.find(call.target)
        waits = self.waiting.get((call.ledger, found.job_id if found else str(call.target)))
        if waits and isinstance(call.target, int) and waits.run.id is None:
            return found  # another session was faster to create it: the id is of that one
        return waits.run if waits else found

    def submit(self, world: World, call: Call) -> tuple[Run, Waiting | None] | None:
        """Decide now, append later. The execution as it will be; None where there is none."""
        ledger = world.get(call.ledger, Ledger())
        if call.command_id is not None:
            for waits in self.waiting.values():
                for earlier in waits.calls:
                    if (earlier.ledger, earlier.command_id) == (call.ledger, call.command_id):
                        _check_same(earlier.fingerprint(), waits.run, call)
                        return waits.answered[call.command_id], waits
            if call.command_id in ledger.receipts:
                return _replayed(ledger, call), None
        stored = ledger.find(call.target)
        waits = self.waiting.get((call.ledger, stored.job_id if stored else str(call.target)))
        if waits and waits.base != (stored.version if stored else 0):
            decide_again(waits, stored)
        decided = decide(waits.run if waits else stored, call)
        if decided is None:
            return None
        run, events = decided
        if waits is None:
            waits = Waiting(call.ledger, stored.version if stored else 0, run)
            self.waiting[call.ledger, run.job_id] = waits
        waits.run = run
        waits.calls.append(call)
        waits.events += events
        if call.command_id is not None:
            waits.told[call.command_id] = waits.answered[call.command_id] = run
        return run, waits

    def flush(self, committed: World) -> None:
        """Append what waits."""
        if not self.waiting:
            return
        everything, self.waiting = self.waiting, {}
        if self.seen is None:
            self.seen = copy.deepcopy(committed)
        for name in sorted({ledger for ledger, _ in everything}):
            ledger = self.seen.setdefault(name, Ledger())
            group = [waits for waits in everything.values() if waits.ledger == name]
            if any(command_id in ledger.receipts for waits in group for command_id in waits.told):
                raise Refused("LedgerBusy")  # it ran in another session meanwhile
            for waits in group:
                stored = ledger.find(waits.run.job_id)
                if waits.base != (stored.version if stored else 0):
                    decide_again(waits, stored)
            for waits in sorted(group, key=lambda waits: (waits.run.id is None, waits.run.id or 0)):
                append(ledger, waits)


def decide_again(waits: Waiting, stored: Run | None) -> None:
    """Another session was faster: the same calls on what it left."""
    assert stored is not None
    run, calls, events, told = stored, [], [], {}
    for call in waits.calls:
        decided = decide(run, call)
        if decided is None:
            if call.kind != "delete":  # deleted meanwhile: what was promised must not vanish in silence
                raise Refused("VersionConflict")
            continue
        run, new = decided
        events += new
        calls.append(call)
        if call.command_id is not None:
            told[call.command_id] = run
    waits.base, waits.run, waits.calls, waits.events, waits.told = stored.version, run, calls, events, told


def append(ledger: Ledger, waits: Waiting) -> None:
    """Put decided events at the end of the ledger."""
    run = waits.run
    if waits.base == 0:
        run.id = len(ledger.runs) + 1
        ledger.runs.append(run)
    else:
        ledger.runs[(run.id or 0) - 1] = run
    ledger.events += waits.events
    for call in waits.calls:
        if call.command_id in waits.told:
            told = copy.deepcopy(waits.told[call.command_id])
            told.id = run.id
            ledger.receipts[call.command_id] = call.fingerprint(), told


def execute(world: World, call: Call) -> Run | None:
    """Decide and append at once."""
    ledger = world.get(call.ledger) or Ledger()
    if call.command_id in ledger.receipts:
        return _replayed(ledger, call)
    stored = ledger.find(call.target)
    decided = decide(stored, call)
    if decided is None:
        return None
    told = {call.command_id: decided[0]} if call.command_id is not None else {}
    waits = Waiting(call.ledger, stored.version if stored else 0, decided[0], [call], decided[1], told)
    append(world.setdefault(call.ledger, ledger), waits)
    return decided[0]


def _check_same(fingerprint: str, run: Run, call: Call) -> None:
    same_execution = call.kind == "create" or call.target in (run.id, run.job_id)
    if not same_execution or fingerprint != call.fingerprint():
        raise Refused("CommandIdReused")


def _replayed(ledger: Ledger, call: Call) -> Run:
    """What the command was answered with the first time, whatever happened since."""
    assert call.command_id is not None
    fingerprint, run = ledger.receipts[call.command_id]
    _check_same(fingerprint, run, call)
    return run
