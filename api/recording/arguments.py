"""The arguments of `record`: what to run, under which name, and what to tell the ledger about it."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..terminal.errors import UsageProblem

_NAME_LENGTH = 60
"""Characters of a name that is made from a command line."""
_SLUG_LENGTH = 16
_SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True, slots=True)
class Step:
    """One command to run; its name is None where the whole run is one command."""

    name: str | None
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that `record` was told."""

    steps: tuple[Step, ...]
    job_id: str | None = None
    name: str | None = None
    parent: str | None = None
    attempt: int = 1
    inputs: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    max_output: int = 1024**2
    grace: float = 10
    ledger_wait: float = 30
    quiet: bool = False

    @property
    def run_name(self) -> str:
        """What people read: the given name, else the command line or the names of the steps."""
        if self.name is not None:
            return self.name
        names = [step.name for step in self.steps if step.name is not None]
        return shorten(" + ".join(names) if names else command_line(self.steps[0].argv), _NAME_LENGTH)

    def new_job_id(self) -> str:
        """A job id that a person can read and type: from the name, and 30 random bits."""
        words = re.sub(r"[^a-z0-9]+", "-", self.run_name.lower()).strip("-")
        if len(words) > _SLUG_LENGTH:
            words = words[: _SLUG_LENGTH + 1].rpartition("-")[0] or words[:_SLUG_LENGTH]
        letters = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(6))
        return f"{words or 'run'}-{letters}"


def parse_steps(named: Sequence[str], words: Sequence[str]) -> tuple[Step, ...]:
    """Split `--step NAME -- COMMAND… --step NAME -- COMMAND…`; `named` and the first `--` were read already.

    Without a first `--step` all words are one command, whatever they look like.
    """
    if len(named) > 1:
        raise UsageProblem("--step", f"{named[0]!r} has no command", "Write: --step NAME -- COMMAND… --step NAME -- …")
    if not named:
        return (Step(None, _command("COMMAND", words)),)
    steps: list[Step] = []
    name, begin, at = named[0], 0, 0
    while at < len(words):
        if words[at] == "--step" and words[at + 2 : at + 3] == ["--"]:
            following, length = words[at + 1], 3
        elif words[at].startswith("--step=") and words[at + 1 : at + 2] == ["--"]:
            following, length = words[at].removeprefix("--step="), 2
        elif words[at] == "--step" or words[at].startswith("--step="):
            remedy = "Write: --step NAME -- COMMAND… (a command with a --step of its own goes into sh -c '…')"
            raise UsageProblem("--step", "is not followed by NAME -- COMMAND", remedy)
        else:
            at += 1
            continue
        steps.append(Step(name, _command(f"--step {name}", words[begin:at])))
        name = following
        at = begin = at + length
    steps.append(Step(name, _command(f"--step {name}", words[begin:])))
    return _distinct(steps)


def parse_pairs(option: str, pairs: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """`KEY=VALUE` … as a mapping; values stay text."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageProblem(option, f"{pair!r} is not KEY=VALUE", f"Write: {option} KEY=VALUE")
        if key in parsed:
            raise UsageProblem(option, f"{key!r} is given twice", "Give every key once.")
        if key in reserved:
            raise UsageProblem(option, f"{key!r} is recorded by itself", "Choose another key.")
        parsed[text(key)] = text(value)
    return parsed


def parse_size(option: str, size: str) -> int:
    """Bytes, as `500`, `64K`, `1M` or `2G`."""
    match = re.fullmatch(r"(\d{1,12})([KMG]?)(?:i?B)?", size.strip(), re.IGNORECASE)
    if match is None:
        raise UsageProblem(option, f"{size!r} is not a size", "Write bytes, or a number with K, M or G: 64K, 1M.")
    return int(match[1]) * _SIZES[match[2].upper()]


def text(argument: str) -> str:
    """An argument, a path or an environment variable as Unicode text, whatever bytes it holds."""
    return os.fsencode(argument).decode(errors="replace")


def command_line(argv: Iterable[str]) -> str:
    """A command as it would be typed."""
    return text(shlex.join(argv))


def shorten(line: str, length: int) -> str:
    """At most so many characters, on one line."""
    line = " ".join(line.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def _command(field: str, words: Sequence[str]) -> tuple[str, ...]:
    if not words or not words[0]:
        raise UsageProblem(
            field, "there is no command", "Put it after two dashes: execution-ledger record -- make test"
        )
    return tuple(words)


def _distinct(steps: list[Step]) -> tuple[Step, ...]:
    seen: set[str | None] = set()
    for step in steps:
        if not step.name:
            raise UsageProblem("--step", "a name is empty", "Write: --step NAME -- COMMAND…")
        if step.name in seen:
            raise UsageProblem("--step", f"{step.name!r} is given twice", "Give every step a name of its own.")
        seen.add(step.name)
    return tuple(steps)
