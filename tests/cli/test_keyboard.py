"""Keys, however their bytes arrive."""

from __future__ import annotations

import asyncio

import pytest

from execution_ledger.api.terminal.keyboard import Keyboard


@pytest.mark.parametrize(
    ("read", "keys"),
    [
        ([b"q"], [b"q"]),
        ([b"+- "], [b"+", b"-", b" "]),
        ([b"\x1b[C\x1b[C\x1b[D"], [b"\x1b[C", b"\x1b[C", b"\x1b[D"]),
        ([b"\x1bOC", b"\x1bOD"], [b"\x1b[C", b"\x1b[D"]),
        ([b"\x1b", b"[C"], [b"\x1b[C"]),
        ([b" \x1b[", b"C+"], [b" ", b"\x1b[C", b"+"]),
        ([b"\x1b[1;5", b"Cq"], [b"\x1b[1;5C", b"q"]),
    ],
)
async def test_each_key_is_told_once_and_whole(read: list[bytes], keys: list[bytes]) -> None:
    pressed: list[bytes] = []
    keyboard = Keyboard(pressed.append)
    for each in read:
        keyboard.take(each)
    assert pressed == keys


async def test_escape_alone_is_a_key_once_nothing_follows() -> None:
    told = asyncio.Event()
    pressed: list[bytes] = []
    keyboard = Keyboard(lambda key: (pressed.append(key), told.set())[1])
    keyboard.take(b"\x1b")
    assert pressed == []
    await asyncio.wait_for(told.wait(), 30)
    assert pressed == [b"\x1b"]
