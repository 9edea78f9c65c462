"""Reading a backup to its end, before anything is made of it."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ...domain import InvalidInput, Tree, check_ledger
from .lines import FORMAT, VERSION, Beside, End, Event, Header, Line, Token, check_event

_TOLD = 1_000
"""Events after which the check tells how far it is."""

Tell = Callable[[str, int, int], object]
"""Told what is done ("check", "load"), of how many events, and of all."""


class WholeBackup(NamedTuple):
    """A backup that was found whole."""

    file: Path
    header: Header
    end: End


def check_backup(path: str | os.PathLike[str], *, on_progress: Tell | None = None) -> WholeBackup:
    """Read all of a backup and refuse what is damaged, cut off or none; no database is needed."""
    file = Path(path)
    header = _header(file)
    return WholeBackup(file, header, _check(file, header, on_progress or (lambda what, done, size: None)))


def _header(file: Path) -> Header:
    with closing(lines_of(file)) as lines:
        header = next(lines, None)
    if not isinstance(header, Header) or header.format != FORMAT:
        raise refused(file, "is no backup of a ledger", "Name a file that `execution-ledger export ledger` wrote.")
    if header.version != VERSION:
        raise refused(file, f"is of format {header.version}", "Upgrade execution-ledger.")
    check_ledger(header.ledger)
    return header


def _check(file: Path, header: Header, tell: Tell) -> End:
    """Read all of it, and refuse what is not whole."""
    tree, digest, end = Tree(), sha256(), None
    before = told = b""
    for line in islice(lines_of(file, digest), 1, None):
        match line:
            case Event():
                try:
                    check_event(header.ledger, tree.size + 1, line.arrival())
                except InvalidInput as error:  # what helps against it in a ledger does not help here
                    raise refused(file, f"is damaged: {error.problem}", "Take one that is whole.") from error
                tree.append(line.leaf_hash)
                if tree.size % _TOLD == 0:
                    tell("check", tree.size, header.size)
            case Token():
                pass
            case Beside():
                try:
                    line.row(header.ledger)
                except InvalidInput as error:
                    raise refused(file, f"is damaged: {error.problem}", error.remedy) from error
            case End():
                end, told = line, before
            case Header():
                raise refused(file, "begins twice", "Restore one backup at a time.")
        before = digest.digest()
    if end is None:
        raise refused(file, "is cut off", "Take one that is whole.")
    if (tree.size, tree.root, told) != (end.size, end.root, end.digest) or end.size != header.size:
        raise refused(file, "does not hold what its last line tells of", "Take one that nobody changed.")
    return end


def lines_of(file: Path, digest: Any = None) -> Generator[Line]:
    """All lines; the `digest` is told of each."""
    decode = msgspec.json.Decoder(Line).decode
    number = 0
    try:
        with gzip.open(file, "rb") as lines:
            for text in lines:
                number += 1
                if digest is not None:
                    digest.update(text)
                yield decode(text)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise refused(file, f"is damaged after line {number}: {error}", "Take one that is whole.") from error
    except EOFError as error:
        raise refused(file, f"is cut off after line {number}", "Take one that is whole.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        what = f"has a line {number} that cannot be read: {error}"
        raise refused(file, what, "Take one that `execution-ledger export ledger` wrote.") from error
    except OSError as error:
        raise refused(file, f"cannot be read: {error.strerror}", "Name a file that is there.") from error


def refused(file: Path, problem: str, remedy: str) -> InvalidInput:
    """What is raised of a file."""
    return InvalidInput(field="FILE", problem=f"{file.name} {problem}", remedy=remedy)
