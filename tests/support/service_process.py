"""`serve` as a process of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from .forked import PIPE, Process, start


@contextmanager
def process(
    database_url: str, *, seconds: float = 60, log: Path | None = None, **settings: str
) -> Iterator[tuple[Process, str]]:
    """`serve` in a process of its own, and its address once it has printed it; killed after so many seconds."""
    quiet = {"EXECUTION_LEDGER_LOG_LEVEL": "warning"}  # nobody reads the pipe meanwhile
    given = {"EXECUTION_LEDGER_DATABASE_URL": database_url, "EXECUTION_LEDGER_PORT": "0"}
    env = os.environ | quiet | given | settings
    with (
        nullcontext(PIPE) if log is None else log.open("wb") as errors,
        start(["serve"], env=env, stderr=errors) as started,
    ):
        watchdog = threading.Timer(seconds, started.kill)
        watchdog.start()
        try:
            assert started.stdout is not None
            words = started.stdout.readline().decode().split()
            assert words[:3] == ["execution-ledger", "listens", "on"], (words, started.communicate())
            yield started, words[3].removesuffix("/api/v1")
        finally:
            watchdog.cancel()
            started.kill()
