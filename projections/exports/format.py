"""What a format of an export is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class Format(ABC):
    """Makes the bytes of one file; what it is given comes in order."""

    @abstractmethod
    def begin(self) -> bytes:
        """What stands before the first row."""

    @abstractmethod
    def add(self, rows: Sequence[Any]) -> bytes:
        """More rows; their bytes, or those of earlier ones."""

    @abstractmethod
    def end(self) -> bytes:
        """What stands behind the last row."""
