"""Two processes that write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from concurrency.processes import Worker
from concurrency.races import PROCESSES


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    workers = [Worker() for _ in range(PROCESSES)]
    yield workers
    for worker in workers:
        worker.stop()
