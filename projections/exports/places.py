"""Files that are whole under their name, or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from ...domain import InvalidInput


@contextmanager
def appearing(target: Path, *, overwrite: bool, private: bool = False) -> Iterator[BinaryIO]:
    """A file to write that gets its name once it is whole and on the disk; where something fails, nothing is left.

    A `private` one only its owner may read.
    """
    check_place(target, overwrite=overwrite)
    beside = beside_of(target)
    with clearing(target, beside):
        with open(beside, "xb", opener=lambda path, flags: os.open(path, flags, 0o600 if private else 0o666)) as file:
            yield file
            flush(file)
        check_place(target, overwrite=overwrite)
        beside.replace(target)
        flush_folder(target.parent)


@contextmanager
def clearing(target: Path, *beside: Path) -> Iterator[None]:
    """Leave none of the files beside a target; errors name the target, since nobody has given the other names."""
    try:
        yield
    except OSError as error:
        if error.filename in map(str, beside):
            error.filename = str(target)
        raise
    finally:
        for each in beside:
            with suppress(OSError):
                each.unlink(missing_ok=True)


def beside_of(target: Path) -> Path:
    """A name of its own in the same folder."""
    return target.with_name(f".{target.name}.{uuid4().hex}.part")


def check_place(*targets: Path, overwrite: bool) -> None:
    """Refuse what cannot be written to, or is there already."""
    for target in targets:
        if not target.parent.is_dir():
            raise InvalidInput(
                field="path", problem=f"{target.parent} is no folder", remedy="Make it, or name another one."
            )
        if target.is_dir():
            raise InvalidInput(field="path", problem=f"{target} is a folder", remedy="Name a file in it.")
        if target.exists() and not overwrite:
            raise InvalidInput(
                field="path",
                problem=f"{target} exists",
                remedy="Name another file, or ask to overwrite it (overwrite=True, or --overwrite).",
            )


def flush(file: BinaryIO) -> None:
    """Have it on the disk."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Have the names in it on the disk, where the system can."""
    with suppress(OSError):  # not every system opens folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
