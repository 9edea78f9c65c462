"""What several tests share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Database:
    """A fresh database with the schema applied; `url` is for async engines."""

    kind: str
    url: str
