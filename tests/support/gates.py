"""A backend that can be held shut, and tells what came through."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry import context as contexts

from execution_ledger.api.instrument.backends import Backend, Write
from execution_ledger.domain import StoreError


class Gate:
    """In front of a backend; what is sent waits until it is open."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.open = threading.Event()
        self.came = threading.Event()
        self.sent: list[Write] = []
        self.poison: str | None = None
        self.quiet: set[Any] = set()

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._backend.call(method, *arguments, **options)

    def send(self, writes: Sequence[Write]) -> list[Exception | None]:
        self.came.set()
        assert self.open.wait(60)
        self.quiet.add(contexts.get_value(contexts._SUPPRESS_INSTRUMENTATION_KEY))
        bad = {write.key for write in writes if self.poison in write.fields.values()} if self.poison else set()
        answers = iter(self._backend.send([write for write in writes if write.key not in bad]))
        self.sent += writes
        return [StoreError(problem="poison") if write.key in bad else next(answers) for write in writes]

    def close(self) -> None:
        self._backend.close()
