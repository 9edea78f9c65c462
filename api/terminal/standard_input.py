"""`-` for a file that is read: standard input, as in any other tool."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

NAME = "standard input"


def is_standard_input(file: Path) -> bool:
    """Whether `-` was given."""
    return str(file) == "-"


def name_of(file: Path) -> str:
    """What it is called in a message."""
    return NAME if is_standard_input(file) else str(file)


def open_input(file: Path) -> BinaryIO:
    """To be read from its beginning; standard input stays open afterwards."""
    return open(0, "rb", closefd=False) if is_standard_input(file) else file.open("rb")
