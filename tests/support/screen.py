"""What somebody sees of what a program wrote to a terminal."""

from __future__ import annotations

import re

_PIECES = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


def screen(written: str) -> list[str]:
    """Its lines at the end, without colors; of a terminal as wide as its longest line, that is never full."""
    lines, row, column = [""], 0, 0
    for number, what, back, feed, text in _PIECES.findall(written):
        if back:
            column = 0
        elif feed:
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif text:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + text + line[column + len(text) :]
            column += len(text)
        elif what == "A":
            row = max(row - int(number or 1), 0)
        elif what == "K" and number == "2":
            lines[row] = ""
    return [line.rstrip() for line in lines]
