"""Keys as a terminal sends them: several at once, and one in pieces."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

_KEY = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|\x1b(?:[\[O][0-9;]*)?\Z|.", re.DOTALL)
_ARROW = re.compile(rb"\x1bO([A-D])")
_PATIENCE = 0.05
"""Seconds in which the rest of a key must come: Escape alone is the beginning of others."""


class Keyboard:
    """Tells key by key what was read."""

    def __init__(self, press: Callable[[bytes], None]) -> None:
        self._press = press
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None

    def take(self, data: bytes) -> None:
        """What was read, perhaps the rest of a key."""
        if self._timer is not None:
            self._timer.cancel()
        keys = _KEY.findall(self._held + data)
        self._held = keys.pop() if keys and _is_begun(keys[-1]) else b""
        for key in keys:
            self._tell(key)
        if self._held:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._give_up)

    def _give_up(self) -> None:
        key, self._held = self._held, b""
        self._tell(key)

    def _tell(self, key: bytes) -> None:
        self._press(
            _ARROW.sub(lambda found: b"\x1b[" + found[1], key)
        )  # arrows of a terminal in the mode of applications


def _is_begun(key: bytes) -> bool:
    return key.startswith(b"\x1b") and not ((len(key) > 2 and key[-1:].isalpha()) or key.endswith(b"~"))
