"""What several tests share."""

from collections.abc import Callable
from dataclasses import dataclass

from execution_ledger.infrastructure import ExecutionRepository


@dataclass(frozen=True)
class Database:
    """A fresh database with the schema applied; `url` is for async engines."""

    kind: str
    url: str


Door = Callable[..., ExecutionRepository]
"""Makes a repository for a session and with the options of a repository; how it writes is the door's affair."""
