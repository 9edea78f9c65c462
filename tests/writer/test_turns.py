"""The next group of a ledger is decided while the one before is written, and yet as if it had waited for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Event
from typing import Any

import pytest

from execution_ledger.domain import LedgerBusy
from execution_ledger.infrastructure import Request
from execution_ledger.infrastructure.writing.crew import Crew
from execution_ledger.infrastructure.writing.group import Answer, Held
from execution_ledger.infrastructure.writing.jobs import Behind, Job, Turn
from support.writers import TIMEOUT, WatchedWriter, create, note, queue, update

pytestmark = pytest.mark.store("postgresql")  # SQLite has one writer, which decides while nobody else writes


class _Gated:
    """Appends of a writer that wait at a gate, and what was decided meanwhile."""

    def __init__(self, writer: WatchedWriter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate, self.waiting = Event(), Event()
        self.decided: list[Any] = []
        self.appends = self.in_vain = 0
        store = writer.store
        monkeypatch.setattr(store, "append_alone", self._wait_before(store.append_alone))
        monkeypatch.setattr(store, "decide", self._note(store.decide))

    def _wait_before(self, append: Callable[..., Any]) -> Callable[..., Any]:
        def wait(*given: Any, **options: Any) -> Any:
            self.appends += 1
            self.waiting.set()
            assert self.gate.wait(TIMEOUT)
            appended = append(*given, **options)
            self.in_vain += appended is None
            return appended

        return wait

    def _note(self, decide: Callable[..., Any]) -> Callable[..., Any]:
        def note(request: Any, *given: Any) -> Any:
            self.decided.append(request.command)
            return decide(request, *given)

        return note

    async def until_decided(self, number: int) -> None:
        async with asyncio.timeout(TIMEOUT):
            while len(self.decided) < number:
                await asyncio.sleep(0.01)


@pytest.fixture
async def gated(writer: WatchedWriter, monkeypatch: pytest.MonkeyPatch) -> _Gated:
    await writer.execute_together([create("a"), create("b"), create("c")])
    return _Gated(writer, monkeypatch)


async def test_what_comes_next_is_decided_meanwhile_and_written_after(writer: WatchedWriter, gated: _Gated) -> None:
    first = await queue(writer, [update("a", message="1"), update("b", message="1")])
    await asyncio.to_thread(gated.waiting.wait, TIMEOUT)
    second = await queue(writer, [update("c", message="2"), update("c", message="3")])
    await gated.until_decided(4)
    assert gated.appends == 1
    gated.gate.set()
    answers = [answer for future in (*first, *second) for answer in await future]
    assert [answer.first_position for answer in answers] == [4, 5, 6, 7]


async def test_what_the_group_before_left_is_what_the_next_one_goes_on_from(
    writer: WatchedWriter, gated: _Gated
) -> None:
    first = await queue(writer, [update("a", message="1"), update("b", message="1")])
    await asyncio.to_thread(gated.waiting.wait, TIMEOUT)
    second = await queue(writer, [update("a", progress=0.5), update("b", message="2")])
    third = await queue(writer, [update("a", expected_version=2, message="stale"), note("b", "n")])
    await gated.until_decided(4)
    gated.gate.set()
    answers = [answer for future in (*first, *second, *third) for answer in await future]
    versions = [getattr(answer, "version", type(answer).__name__) for answer in answers]
    assert versions == [2, 2, 3, 3, "VersionConflict", 4]
    assert answers[2].row["message"] == "1"
    assert answers[2].row["progress"] == 0.5
    assert gated.in_vain == 0, "what is known to be outdated is not tried"


async def test_a_command_that_is_cancelled_after_it_was_decided_is_not_done(
    writer: WatchedWriter, gated: _Gated
) -> None:
    first = await queue(writer, [update("a", message="1"), update("b", message="1")])
    await asyncio.to_thread(gated.waiting.wait, TIMEOUT)
    cancelled, kept = await queue(
        writer, [update("c", message="no"), note("c", "no")], [note("c", "x"), note("c", "y")]
    )
    await gated.until_decided(6)
    cancelled.cancel()
    gated.gate.set()
    await asyncio.gather(*first)
    assert [answer.version for answer in await kept] == [2, 3]


def test_nothing_overtakes_what_is_held() -> None:
    """A group that was decided while the one before was written, which then turned out to be held."""
    delivered: list[str] = []
    first_is_written, second_is_decided = Event(), Event()
    tries: list[str] = []

    def commit(requests: Sequence[Request], rows: bool, turn: Turn) -> list[Answer | Held]:
        name = str(requests[0].target)
        tries.append(name)
        if tries == ["first", "second"]:
            second_is_decided.set()
        try:
            turn.take()
        except Behind:
            tries.append("second is behind")
            return [Held(Behind.error)]
        if tries == ["first"]:
            first_is_written.set()
            assert second_is_decided.wait(TIMEOUT)
            return [Held(LedgerBusy(problem="held", remedy="wait"))]
        return [None]

    crew = Crew(
        commit,
        lambda outcomes: delivered.extend(str(job.requests[0].target) for job, _ in outcomes),
        workers=4,
        group=1,
        ledgers=1,
        patience=TIMEOUT,
    )
    crew.put([Job([note("first", "n")], False, Future())])
    assert first_is_written.wait(TIMEOUT)
    crew.put([Job([note("second", "n")], False, Future())])
    crew.close(TIMEOUT)
    assert tries == ["first", "second", "second is behind", "first", "second"]
    assert delivered == ["first", "second"]
