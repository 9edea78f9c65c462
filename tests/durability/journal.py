"""What a test knows of the commands that were sent, and whether the database agrees."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Set
from typing import Any

from durability.load import SHARED, Spec, to_request
from sqlalchemy import text

from execution_ledger.infrastructure import GroupWriter, Outcome
from support.audit import Ledger, audit, open_plainly


class Journal:
    """Everything that was said by the clients of a load."""

    def __init__(self) -> None:
        self.sent: dict[str, Spec] = {}
        """By marker."""
        self.done: dict[str, dict[str, Any]] = {}
        """What each acknowledged command was answered, as far as the clients say."""
        self.troubles: Counter[tuple[str, str]] = Counter()
        """How often which error was told to which kind of client."""
        self.changed = threading.Condition()

    def note(self, line: dict[str, Any]) -> None:
        """Take in what was said."""
        with self.changed:
            self.sent |= {spec["marker"]: spec for spec in line.get("sent", ())}
            answer = {name: line[name] for name in ("version", "position") if name in line}
            self.done |= dict.fromkeys(line.get("done", ()), answer)
            if "trouble" in line:
                self.troubles[line["client"].split("-")[1].rstrip("0123456789"), line["trouble"]] += 1
            self.changed.notify_all()

    def wait_for(self, more: int, going_on: Callable[[], bool]) -> None:
        """Until so many more commands are acknowledged."""
        with self.changed:
            enough = len(self.done) + more
            while len(self.done) < enough:
                assert going_on(), "the writing process ended: its traceback is on stderr"
                assert self.changed.wait(60), f"nothing was said for a minute; troubles: {self.troubles}"

    def unanswered(self) -> list[Spec]:
        """The commands with an id that nobody knows the fate of."""
        return [spec for marker, spec in self.sent.items() if marker not in self.done and spec["named"]]

    def glance(self, url: str) -> None:
        """Check what costs little: no gaps, everything acknowledged is there, nothing is there twice."""
        with self.changed:
            done = set(self.done)  # before we look, since others may go on
        engine = open_plainly(url)
        with engine.begin() as connection:
            sizes = connection.execute(
                text(
                    "SELECT l.size, count(e.position), max(e.position) FROM ledgers l "
                    "JOIN execution_events e ON e.ledger_id = l.ledger_id GROUP BY l.ledger_id, l.size"
                )
            ).all()
            counts = connection.execute(
                text("SELECT correlation_id, count(*) FROM execution_events GROUP BY correlation_id")
            ).all()
        engine.dispose()
        assert all(size == count == last for size, count, last in sizes), "positions have gaps"
        with self.changed:
            self._compare({marker: count for marker, count in counts if marker is not None}, done)

    def check(self, url: str) -> dict[str, Ledger]:
        """Check everything."""
        ledgers = audit(url)
        recorded = {}
        for ledger in ledgers.values():
            for event in ledger.events:
                recorded.setdefault(event["correlation_id"], []).append(event)
        created = recorded.pop(None)
        assert len(created) == len(SHARED) * len(ledgers)
        self._compare({marker: len(events) for marker, events in recorded.items()}, self.done.keys())
        assert recorded.keys() >= {marker for marker, spec in self.sent.items() if spec["named"]}, "never sent again"
        for marker, answer in self.done.items():
            (event,) = recorded[marker]
            assert answer == {name: event[name] for name in answer}, "acknowledged as something else"
        units = defaultdict(set)
        for marker, spec in self.sent.items():
            units[spec.get("unit")].add(marker in recorded)
        assert all(len(fates) == 1 for unit, fates in units.items() if unit), "a unit of work was torn apart"
        return ledgers

    def _compare(self, recorded: dict[str, int], done: Set[str]) -> None:
        assert max(recorded.values()) == 1, "doubled"
        assert done <= recorded.keys(), "lost"
        assert recorded.keys() <= self.sent.keys(), "never sent"

    async def ask_again(self, url: str, most: int = 600) -> None:
        """Send acknowledged commands once more: each is answered as it was, and none is recorded again."""
        named = [spec for marker, spec in self.sent.items() if marker in self.done and spec["named"]]
        asked = random.Random(0).sample(named, min(most, len(named)))
        async with GroupWriter(url) as writer:
            for ledger in {spec["ledger"] for spec in asked}:
                specs = [spec for spec in asked if spec["ledger"] == ledger]
                for spec, answer in zip(
                    specs, await writer.execute_together([to_request(spec) for spec in specs]), strict=True
                ):
                    assert isinstance(answer, Outcome), spec
                    assert answer.replayed, spec
                    told = {"version": answer.version, "position": answer.first_position}
                    assert told | self.done[spec["marker"]] == told, spec
