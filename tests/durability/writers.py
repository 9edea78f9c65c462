"""Writing processes, seen from the test that starts and kills them."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from durability.journal import Journal

_TIMEOUT = 120.0


class Writers:
    """One writing process after the other, all noted in one journal."""

    def __init__(self, url: str) -> None:
        self.journal = Journal()
        self._url = url
        self._lives = 0
        self._pid = 0
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        folder = Path(__file__).parents[1]
        self._parent = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("process.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(folder)},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._answer("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(_TIMEOUT)
        self._reader.join(_TIMEOUT)
        self._parent.stdout.close()

    def begin(self) -> None:
        """Start the next process; first it sends again what the one before had no answer for."""
        self._lives += 1
        job = {"url": self._url, "name": f"life{self._lives}", "again": self.journal.unanswered()}
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(job).encode() + b"\n")
        self._parent.stdin.flush()
        self._pid = self._answer("pid")

    def wait_for(self, more: int) -> None:
        """Until it has so many more commands acknowledged."""
        try:
            self.journal.wait_for(more, self._goes_on)
        except AssertionError:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGUSR1)
            raise

    def _goes_on(self) -> bool:
        return self._answers.empty() and self._parent.poll() is None

    def kill(self) -> None:
        """End it at once, whatever it is doing, and read all that it said."""
        self._end(signal.SIGKILL, -signal.SIGKILL)

    def stop(self) -> None:
        """Let it finish what it began."""
        self._end(signal.SIGTERM, 0)

    def _end(self, number: signal.Signals, expected: int) -> None:
        os.kill(self._pid, number)
        ended = self._answer("ended")
        self._pid = 0
        assert ended == expected, "its traceback is on stderr"

    def _answer(self, name: str) -> Any:
        return self._answers.get(timeout=_TIMEOUT)[name]

    def _read(self) -> None:
        assert self._parent.stdout is not None
        for text in self._parent.stdout:
            line = json.loads(text)
            if {"ready", "pid", "ended"} & line.keys():
                self._answers.put(line)
                with self.journal.changed:
                    self.journal.changed.notify_all()
            else:
                self.journal.note(line)
        with self.journal.changed:  # whoever waits finds that nothing more will come
            self.journal.changed.notify_all()
