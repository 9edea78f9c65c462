"""The output of a command as bounded pieces of text. Pure: fed with bytes, it answers with notes to keep."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

CHUNK = 16 * 1024
"""Bytes of output that make a note at once."""
INTERVAL = 0.5
"""Seconds after which smaller output becomes a note; doubled after every hundred, so that a long run stays small."""
MAX_NOTES = 2_000
"""Notes of output that one run may have."""
TAIL = 4 * 1024
"""Bytes of the end of each stream that are kept where its middle was left out."""

_LONGEST_INTERVAL = 60.0
_NOTES_PER_INTERVAL = 100


class Chunk(NamedTuple):
    """Text for one note."""

    source: str | None
    text: str
    at: datetime
    level: str = "info"
    data: Any = None


@dataclass(slots=True)
class Budget:
    """How much one run may keep, over all its steps."""

    limit: int
    chunk: int = CHUNK
    kept: int = 0
    notes: int = 0

    @property
    def room(self) -> int:
        """Bytes that may still be kept."""
        return max(0, self.limit - self.kept) if self.notes < MAX_NOTES else 0

    @property
    def interval(self) -> float:
        """Seconds after which pending output becomes a note."""
        return min(INTERVAL * 2.0 ** (self.notes // _NOTES_PER_INTERVAL), _LONGEST_INTERVAL)


class _Stream:
    """What was read from one stream and is no note yet."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.total = 0
        self.left_out = 0
        self.tail = bytearray()
        self.pending = bytearray()
        self.since = 0.0
        self.seen = self._at = datetime.now(UTC)
        # Bytes of a character that the next piece completes wait in here.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, data: bytes, kept: int) -> None:
        self.total += len(data)
        self.left_out += len(data) - kept
        self.tail += data[-TAIL:]
        del self.tail[:-TAIL]
        self.seen = datetime.now(UTC)
        if kept and not self.pending:
            self.since, self._at = time.monotonic(), self.seen
        self.pending += data[:kept]

    def take(self, size: int, *, final: bool = False) -> Chunk:
        piece = bytes(self.pending[:size])
        del self.pending[:size]
        chunk = Chunk(self.source, _storable(self._decoder.decode(piece, final)), self._at)
        self.since, self._at = time.monotonic(), datetime.now(UTC)
        return chunk

    def last(self, size: int) -> str:
        """The end of the stream, from the beginning of a line where there is one."""
        tail = bytes(self.tail[-size:])
        if len(tail) < self.total and b"\n" in tail[:-1]:
            tail = tail[tail.index(b"\n") + 1 :]
        return _storable(tail.decode(errors="replace"))


class Output:
    """The two streams of one command."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._streams = {source: _Stream(source) for source in ("stdout", "stderr")}

    def feed(self, source: str, data: bytes, *, keep: bool = True) -> Iterator[Chunk]:
        """Take in what was read; full pieces come back."""
        stream, budget = self._streams[source], self.budget
        kept = min(len(data), budget.room) if keep else 0
        budget.kept += kept
        stream.add(data, kept)
        while len(stream.pending) >= budget.chunk:
            cut = stream.pending.rfind(b"\n", 0, budget.chunk) + 1
            yield from self._count(stream.take(cut or budget.chunk))

    def due(self, *, everything: bool = False) -> Iterator[Chunk]:
        """What has waited long enough, as far as its last whole line."""
        now, waiting = time.monotonic(), [stream for stream in self._streams.values() if stream.pending]
        for stream in sorted(waiting, key=lambda stream: stream.since):
            if everything:
                yield from self._count(stream.take(len(stream.pending), final=True))
            elif now - stream.since >= self.budget.interval:
                yield from self._count(stream.take(stream.pending.rfind(b"\n") + 1 or len(stream.pending)))

    def close(self) -> Iterator[Chunk]:
        """What is left, and a word on what was left out."""
        yield from self.due(everything=True)
        left_out = {stream.source: stream.left_out for stream in self._streams.values() if stream.left_out}
        if not left_out or not self.budget.limit:
            return
        size = format_size(sum(left_out.values()))
        text = (
            f"{size} of output left out: a run keeps {format_size(self.budget.limit)} (--max-output). Its end follows."
        )
        seen = max(stream.seen for stream in self._streams.values())
        yield Chunk(None, text, seen, "warning", {"left_out_bytes": left_out})
        for source, missing in left_out.items():
            if end := self._streams[source].last(min(TAIL, missing, self.budget.chunk)):
                yield Chunk(source, end, seen)

    def error_lines(self, count: int = 5) -> str:
        """The last lines of the error stream; none where no output is to be kept."""
        if not self.budget.limit:
            return ""
        lines = self._streams["stderr"].last(min(TAIL, self.budget.chunk)).strip().splitlines()
        return "\n".join(lines[-count:])

    def totals(self) -> dict[str, int]:
        """Bytes by stream, whether kept or not."""
        return {f"{stream.source}_bytes": stream.total for stream in self._streams.values()}

    def _count(self, chunk: Chunk) -> Iterator[Chunk]:
        if chunk.text:
            self.budget.notes += 1
            yield chunk


def format_size(size: float) -> str:
    """Bytes for people."""
    if size < 1024:
        return f"{size:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1024 or unit == "TiB":
            break
    return f"{size:.1f} {unit}"


def _storable(text: str) -> str:
    return text.replace("\x00", "\u2400")  # no database keeps a NUL; this is its picture
