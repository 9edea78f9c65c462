"""How values look on a terminal: statuses, times, durations, and text that comes from elsewhere."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

PIPED_WIDTH = 1_000
"""Columns where nobody looks at a screen: nothing is cut."""
GAP = 2
"""Blanks between two columns of a table."""
BROKEN_PIPE = 141
"""Exit status where the reader went away, as for a command that SIGPIPE ended."""

_PIECE = 16 * 1024

STATUS_STYLES = {
    "pending": "dim",
    "preparing": "cyan",
    "running": "cyan",
    "waiting_for_approval": "magenta",
    "stopping": "yellow",
    "stopped": "yellow",
    "completed": "green",
    "failed": "red",
    "rejected": "yellow",
    "cancelled": "yellow",
    "skipped": "dim",
}
_SYMBOLS = {
    "pending": "○",
    "preparing": "◌",
    "running": "●",
    "waiting_for_approval": "◆",
    "stopping": "◐",
    "stopped": "■",
    "completed": "✔",
    "failed": "✘",
    "rejected": "✘",
    "cancelled": "■",
    "skipped": "○",
}
# CSI and OSC sequences, other escapes, and single controls but tab and line feed.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -~]?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class LedgerConsole(Console):
    """A console that leaves quietly when its reader does, and pads no lines that nobody looks at."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as ever, above a bar that is shown; where there is no terminal, without spaces at the ends of lines."""
        if not self.is_terminal:
            write_out(self.text(*objects, **options), self.file)
        elif _bars and _bars[-1] is not self:
            _bars[-1].print(*objects, **options)
        else:
            super().print(*objects, **options)

    def text(self, *objects: Any, **options: Any) -> str:
        """What would be printed."""
        with self.capture() as capture:
            super().print(*objects, **options)
        if self.is_terminal:
            return capture.get()
        return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())

    def on_broken_pipe(self) -> NoReturn:
        """End as a command that SIGPIPE ended."""
        leave_quietly()


_bars: list[Console] = []
"""Where a bar is shown now: lines on the same terminal would run into it."""


def show_bar(console: Console) -> None:
    """From now on, print above a bar on this console."""
    _bars.append(console)


def hide_bar(console: Console) -> None:
    """There is no bar any more."""
    if console in _bars:
        _bars.remove(console)


def write_out(text: str, file: IO[str]) -> None:
    """Write it all, or leave quietly."""
    if _bars and file.isatty():
        _bars[-1].print(Text(text.removesuffix("\n")), soft_wrap=True)
        return
    try:
        # In pieces: where the output is unbuffered, a long write that a closing pipe cut short would tell nobody.
        for at in range(0, len(text), _PIECE):
            file.write(text[at : at + _PIECE])
        file.flush()
    except BrokenPipeError:
        leave_quietly()


def leave_quietly() -> NoReturn:
    """End without a word: what is still buffered goes nowhere."""
    discard(sys.stdout)
    raise typer.Exit(BROKEN_PIPE)


def discard(stream: IO[str]) -> None:
    """Let what is still buffered, and whatever follows, go nowhere: Python would complain of it at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def make_console(*, stderr: bool = False) -> LedgerConsole:
    """The terminal; or, where that is none, plain text as wide as it needs to be."""
    console = LedgerConsole(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def symbol(status: str, console: Console) -> str:
    """A sign for a status, where the terminal can show it."""
    return "*" if console.options.ascii_only else _SYMBOLS.get(status, "●")


def clean(text: object) -> str:
    """Text of unknown origin without what would move the cursor, change colors or hide other text."""
    plain = _ESCAPES.sub("", str(text)).expandtabs(4).replace("\r\n", "\n")
    # A carriage return begins the line anew, as progress bars do: what was last on it is what was seen.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n"))
    return _CONTROLS.sub("\ufffd", "\n".join(lines))


def line(text: object) -> str:
    """The same on one line."""
    return " ".join(clean(text).split())


def joined(separator: str, parts: Iterable[Text]) -> Text:
    """Parts in their own colors, with something faint between them."""
    result = Text()
    for part in parts:
        if result:
            result.append(separator, "dim")
        result.append_text(part)
    return result


def giving_way(widths: Sequence[int], columns: int, order: Sequence[int]) -> set[int]:
    """Which columns of a table are left out, in this order, so that the others are seen whole."""
    out: set[int] = set()
    for each in order:
        if sum(width + GAP for at, width in enumerate(widths) if at not in out) - GAP <= columns:
            break
        out.add(each)
    return out


def duration(seconds: float) -> str:
    """A length of time in at most nine characters."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {seconds:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02}m"
    return f"{hours // 24}d {hours % 24:02}h"


def local_time(time: datetime) -> str:
    """A time in the zone of whoever reads it."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def zone() -> str:
    """The name of that zone."""
    now = datetime.now().astimezone()
    return now.tzname() or f"UTC{now:%z}"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """`1 event`, `1,234 events`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def block(text: object, lines: int | None) -> Text:
    """Text on several lines: all of it, or at most so many of its first and last lines; with 1 only the first."""
    every = clean(text).strip("\n").split("\n")
    if lines is None:
        return Text("\n".join(every), overflow="fold")
    if 1 < lines >= len(every) - 1:
        return Text("\n".join(every), no_wrap=True, overflow="ellipsis")
    if lines == 1:
        return Text(every[0], no_wrap=True, overflow="ellipsis")
    last = lines // 3
    result = Text("\n".join(every[: lines - last]), no_wrap=True, overflow="ellipsis")
    result.append(f"\n… {len(every) - lines:,} more lines", "dim")
    return result.append("".join(f"\n{each}" for each in every[len(every) - last :]))
