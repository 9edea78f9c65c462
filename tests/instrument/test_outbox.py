"""What an outbox makes of the answers that it gets."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from execution_ledger.api.client import ServiceError
from execution_ledger.api.instrument import Ledger
from execution_ledger.api.instrument.backends import Write
from execution_ledger.api.instrument.outbox import Outbox
from execution_ledger.api.instrument.recorder import Recorder
from execution_ledger.domain import PayloadTooLarge, WriterClosed
from support.looking import Look


class Answers:
    """A backend that answers as it is told."""

    def __init__(self, answer: Callable[[Sequence[Write]], list[Exception | None]]) -> None:
        self._answer = answer
        self.sent: list[list[str]] = []

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("nobody is to wait for an answer")

    def send(self, writes: Sequence[Write]) -> list[Exception | None]:
        self.sent.append([write.key for write in writes])
        return self._answer(writes)

    def close(self) -> None:
        """Nothing to do."""


def notes(count: int) -> list[Write]:
    return [Write("j", "note", {"text": "x"}, str(number)) for number in range(count)]


def test_a_service_that_is_ending_is_tried_again() -> None:
    backend = Answers(lambda writes: [WriterClosed() if len(backend.sent) == 1 else None for _ in writes])
    outbox = Outbox(backend)
    outbox.put(*notes(3))
    assert outbox.flush(60)
    assert backend.sent == [["0", "1", "2"]] * 2
    assert (outbox.refused, outbox.dropped, outbox.down) == (0, 0, False)
    outbox.close()


@pytest.mark.parametrize(
    "error",
    [
        PayloadTooLarge(field="body", problem="is too large", remedy="Send less."),
        ServiceError(title="a proxy answered 413", status=413),
        TypeError("cannot be encoded"),
    ],
    ids=["service", "proxy", "value"],
)
def test_what_is_refused_together_is_told_in_parts(error: Exception) -> None:
    def answer(writes: Sequence[Write]) -> list[Exception | None]:
        if len(writes) > 2 or any(write.key == "bad" for write in writes):
            raise error
        return [None] * len(writes)

    backend = Answers(answer)
    outbox = Outbox(backend)
    outbox.put(*notes(10), Write("j", "note", {"text": "y"}, "bad"))
    assert outbox.flush(60)
    assert (outbox.refused, outbox.dropped) == (1, 0)
    taken = [key for keys in backend.sent if len(keys) <= 2 and "bad" not in keys for key in keys]
    assert taken == [str(number) for number in range(10)]
    outbox.close()


def test_notes_that_are_too_much_for_one_request_are_all_recorded(ledger: Ledger, look: Look) -> None:
    with ledger.execution("n", job_id="n") as run:
        for number in range(10):
            run.note(str(number), data="x" * 4_000_000)
    assert [(note.data or {})["text"] for note in look.notes("n")] == [str(number) for number in range(10)]
    assert ledger.outbox.refused == 0


def test_the_end_of_what_waits_for_an_approval_is_refused_once(ledger: Ledger, look: Look) -> None:
    recorder = Recorder(ledger)
    recorder.begin_run("n", None, datetime.now(UTC), run_name="n")
    assert recorder.flush(60)
    ledger.backend.call("transition", "n", "approval_requested")
    place = recorder.find("n")
    assert place is not None
    began = time.monotonic()
    recorder.end(place, datetime.now(UTC), result="r")
    assert recorder.flush(60)
    assert time.monotonic() - began < 10
    assert (recorder.outbox.refused, recorder.outbox.dropped) == (1, 0)
    assert [run.status for run in look.runs()] == ["waiting_for_approval"]
    recorder.close()


PROGRAM = """
import sys, threading, time
from datetime import UTC, datetime

from execution_ledger.api.instrument import Ledger
from execution_ledger.api.instrument.recorder import Recorder

recorder = Recorder(Ledger(sys.argv[1]))

def record(name, seconds):
    recorder.begin_run(name, None, datetime.now(UTC), run_name=name)
    time.sleep(seconds)
    recorder.end(recorder.find(name), datetime.now(UTC))

record("first", 0)
threading.Thread(target=record, args=("second", 0.5)).start()
"""


def test_what_is_told_after_the_end_of_the_main_thread_is_written(
    address: str, look: Look, program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ran = program(PROGRAM, address)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [(run.run_name, run.status) for run in look.runs()] == [("first", "completed"), ("second", "completed")]
