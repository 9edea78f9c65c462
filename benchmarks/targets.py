"""The targets, as data, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import imports, service
from .bulk import BULK, COPY_ROWS, COPY_TEXT
from .contenders import CRUD, LIBRARY, RAW, REPOSITORY, WRITER
from .flatness import LEDGER, REPOSITORY_WAY, RUN, WRITER_WAY, size_label
from .ledgers import MANY, MEMORY, ONE
from .reads import AUDIT_DEEP, AUDIT_FIRST, LIST_DEEP, LIST_FILTERED, LIST_FIRST, list_name
from .results import Measured, Result
from .scale import PAYLOADS, Scale
from .snapshot import AFTER, BEFORE, HELD
from .stores import POSTGRESQL, SLOW, SQLITE
from .upkeep import BUILD, EXPORT, HASHES, RAW_COPY, REPLAY, VERIFY
from .upkeep import MEMORY as PEAK


@dataclass(frozen=True)
class Target:
    """A wanted ratio of two medians."""

    scenario: str
    text: str
    case: Mapping[str, Any]
    contender: str
    baseline: str
    least: float | None = None
    """What the ratio of the rates must reach; None with `most` None: it is wanted to be known, no more."""
    most: float | None = None
    """What the ratio of the costs (or of the memory) may reach."""
    ceiling: str | None = None
    """Who bounds what a design can reach that commits each update by itself."""


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured."""

    target: Target
    ratio: float | None
    """None where it was not measured."""
    ceiling: float | None

    @property
    def share(self) -> float | None:
        """How much of what was wanted was reached: from 1 on, all of it."""
        if self.ratio is None or (self.target.least is None and self.target.most is None):
            return None
        return self.ratio / self.target.least if self.target.least else (self.target.most or 0) / self.ratio

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if self.ratio is None:
            return "not measured"
        if self.share is None:
            return "measured"
        return "reached" if self.share >= 1 else "not reached"


def judge(measured: Mapping[str, Measured]) -> list[Verdict]:
    """All targets; those whose scenario was not measured, too."""
    return [
        _judge(target, measured.get(name))
        for name, make in _TARGETS.items()
        for target in make(name, measured[name].scale if name in measured else Scale())
    ]


def _judge(target: Target, measured: Measured | None) -> Verdict:
    def find(contender: str | None) -> Result | None:
        return measured.find(contender, **target.case) if measured and contender else None

    one, base, ceiling = find(target.contender), find(target.baseline), find(target.ceiling)
    if one is None or base is None:
        return Verdict(target, None, None)
    # What a rate costs is the other way round; MiB and milliseconds are costs themselves.
    inverted = target.most is not None and one.unit.endswith("/s")
    ratio = base.median / one.median if inverted else one.median / base.median
    return Verdict(target, ratio, ceiling.median / base.median if ceiling else None)


def _updates(scenario: str, scale: Scale) -> Iterator[Target]:
    alone, some, many = scale.clients
    for store in (POSTGRESQL, SLOW):
        for clients, who, whom, least in (
            (alone, REPOSITORY, CRUD, 2.0),
            (some, REPOSITORY, CRUD, 1.2),
            (many, WRITER, CRUD, 10.0),
            (many, WRITER, LIBRARY, 6.0),
        ):
            ceiling = RAW if who == REPOSITORY else None
            yield from _each(scenario, scale, store, clients, who, whom, least, ceiling)
    yield from _each(scenario, scale, SQLITE, alone, REPOSITORY, CRUD, 1.0, None)
    yield from _each(scenario, scale, SQLITE, many, WRITER, CRUD, 15.0, None)


def _each(
    scenario: str, scale: Scale, store: str, clients: int, who: str, whom: str, least: float, ceiling: str | None
) -> Iterator[Target]:
    at = "1 client" if clients == 1 else f"{clients} clients"
    for payload in scale.payloads:
        case = {"store": store, "clients": clients, "payload": payload}
        text = f"{store}, {at}, {payload}: {who.removeprefix('ledger: ')} to {whom.partition(' ')[0]}"
        yield Target(scenario, text, case, who, whom, least, ceiling=ceiling)


def _ledgers(scenario: str, scale: Scale) -> Iterator[Target]:
    text = f"{scale.most_clients} clients on {scale.busy_ledgers} ledgers, {scale.idle_ledgers:,} idle: to one ledger"
    yield Target(scenario, text, {}, MANY, ONE, least=0.5)
    text = f"Memory with {scale.idle_ledgers:,} idle ledgers: to before"
    yield Target(scenario, text, {}, MEMORY[1], MEMORY[0], most=1.1)
    yield Target(scenario, "Memory after the last round: to after the warm-up", {}, MEMORY[3], MEMORY[2], most=1.1)


def _bulk(scenario: str, scale: Scale) -> Iterator[Target]:
    for payload in PAYLOADS:
        for whom in (COPY_ROWS, COPY_TEXT):
            yield Target(scenario, f"Bulk creation, {payload}: to {whom}", {"payload": payload}, BULK, whom, least=0.5)


def _flatness(scenario: str, scale: Scale) -> Iterator[Target]:
    for way in (REPOSITORY_WAY, WRITER_WAY.format(clients=scale.most_clients)):
        for of, (small, *larger) in ((LEDGER, scale.ledger_sizes), (RUN, scale.run_lengths)):
            for size in larger:
                text = f"Cost, {way}: {size_label(size, of)} to {small:,}"
                names = size_label(size, of), size_label(small, of)
                yield Target(scenario, text, {"way": way, "flat in": of}, *names, most=1.3)


def _snapshot(scenario: str, scale: Scale) -> Iterator[Target]:
    for name in (HELD, AFTER):
        text = f"One old snapshot, {scale.snapshot_updates:,} updates: {name} to before"
        yield Target(scenario, text, {}, name, BEFORE)


def _upkeep(scenario: str, scale: Scale) -> Iterator[Target]:
    for events in scale.upkeep_sizes:
        for who, least in ((BUILD, 0.3), (VERIFY, 0.3), (HASHES, None), (EXPORT, None), (REPLAY, None)):
            yield Target(
                scenario, f"{events:,} events, {who}: to {RAW_COPY}", {"events": events}, who, RAW_COPY, least=least
            )
    small, large = scale.upkeep_sizes
    for who in (BUILD, VERIFY, EXPORT, REPLAY):
        peak, before = (PEAK.format(what=who, events=events) for events in (large, small))
        yield Target(scenario, f"Peak memory, {who}, {large:,} events: to {small:,}", {}, peak, before, most=1.3)


def _imports(scenario: str, scale: Scale) -> Iterator[Target]:
    small, large = scale.import_sizes
    for what, who in imports.IMPORTS.items():
        for number in (small, large):
            text, case = f"{number:,} {what}, {who}: to {imports.COPY_READY}", {"what": what, "number": number}
            yield Target(scenario, text, case, who, imports.COPY_READY, least=0.2)
        peak, before = (imports.MEMORY.format(what=who, number=number) for number in (large, small))
        yield Target(scenario, f"Peak memory, {who}, {large:,} {what}: to {small:,}", {}, peak, before, most=1.3)


def _reads(scenario: str, scale: Scale) -> Iterator[Target]:
    small, large = scale.list_sizes
    for who in (LIST_FIRST, LIST_FILTERED, LIST_DEEP):
        text = f"Cost, {who}: {large:,} runs to {small:,}"
        yield Target(scenario, text, {}, list_name(who, large), list_name(who, small), most=1.3)
    for events in scale.audit_sizes:
        text = f"Cost, audit, {events:,} events: page {scale.audit_page:,} to the first"
        yield Target(scenario, text, {"events": events}, AUDIT_DEEP, AUDIT_FIRST, most=1.3)


def _service(scenario: str, scale: Scale) -> Iterator[Target]:
    at = f"{scale.most_clients} clients over HTTP"
    for what, whom, least in ((service.READS, service.BARE, 0.8), (service.UPDATES, service.CRUD, 3.0)):
        case = {"what": what, "clients": scale.most_clients}
        yield Target(scenario, f"{at}, {what}: to {whom}", case, service.LEDGER, whom, least=least)
        ours, theirs = (name + service.P99 for name in (service.LEDGER, whom))
        most = 1.25 if whom == service.BARE else None
        yield Target(scenario, f"{at}, {what}, p99: to {whom}", case, ours, theirs, most=most)


_TARGETS = {
    "updates": _updates,
    "ledgers": _ledgers,
    "bulk": _bulk,
    "flatness": _flatness,
    "snapshot": _snapshot,
    "upkeep": _upkeep,
    "imports": _imports,
    "reads": _reads,
    "service": _service,
}
