"""Writing processes, seen from the test that starts them."""

from __future__ import annotations

import json
import queue
import threading
from pathlib import Path
from typing import Any

from support.forked import PIPE, start

_TIMEOUT = 300.0


class Worker:
    """A process that runs `worker.py`, or another script of its kind."""

    def __init__(self, script: str = "worker.py") -> None:
        self._process = start([], script=Path(__file__).with_name(script), stdin=PIPE, stderr=2)
        self._answers: queue.Queue[Any] = queue.Queue()
        self.done: list[list[str]] = []
        """What it acknowledged, a list for each commit."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.answer()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "done" in message:
                self.done.append(message["done"])
            else:
                self._answers.put(message["answer"])
        self._answers.put(None)

    def start(self, job: str, **details: Any) -> None:
        """Begin a job."""
        self.done = []
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"job": job} | details).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the end of the job."""
        answer = self._answers.get(timeout=_TIMEOUT)
        assert answer is not None, "the writing process died: its traceback is on stderr"
        return answer

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def send_signal(self, number: int) -> None:
        """Signal it."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self._process.kill()
        self.stop()

    def stop(self) -> None:
        """Let it end, and wait until everything that it said was read."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=_TIMEOUT)
        self._reader.join(timeout=_TIMEOUT)
        self._process.stdout.close()
