"""`replay`: a run played again, at a terminal with keys to steer it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from ...projections import Frame, Player
from . import show_json
from .keyboard import Keyboard
from .show_spans import progress_bar
from .show_status import status_text
from .show_tail import event_line
from .show_text import LedgerConsole, block, line, local_time, make_console

_EVENTS = 12
"""Events that are on the screen."""
_REFRESH = 0.1
_HELP = "space pause · ← → step · + - speed · q end"


async def play(player: Player, *, json: bool) -> None:
    """Show each frame when it is due: as a screen, as lines, or as JSON, one object a line."""
    console = make_console()
    if json or not console.is_terminal:
        async for frame in player:
            if json:
                show_json.show_line(show_json.frame(frame))
            else:
                console.print(event_line(frame.event, console), soft_wrap=True)
                sys.stdout.flush()
        return
    await _Screen(player, console).run()


class _Screen:
    """The run as it was, with its last events."""

    def __init__(self, player: Player, console: LedgerConsole) -> None:
        self._player = player
        self._console = console
        self._frames: deque[Frame] = deque(maxlen=_EVENTS)
        self._ended = False
        self._quit = asyncio.Event()
        self._more = asyncio.Event()
        """Set once there is a frame."""

    async def run(self) -> None:
        """Until it is quit, or has ended and no key is left to press."""
        keys = sys.stdin.isatty()
        reading, waiting = asyncio.create_task(self._read()), asyncio.create_task(self._more.wait())
        await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self._frames:
            return await reading  # there is nothing to show, but perhaps an error
        with self._keys() if keys else _nothing(), Live(console=self._console, auto_refresh=False) as live:
            waiting = asyncio.create_task(self._quit.wait())
            try:
                while not (reading.done() or self._quit.is_set()):
                    live.update(self._render(), refresh=True)
                    await asyncio.wait({reading, waiting}, timeout=_REFRESH, return_when=asyncio.FIRST_COMPLETED)
                self._ended = reading.done()
                live.update(self._render(), refresh=True)
            finally:
                for task in (reading, waiting):
                    task.cancel()
            if reading.done() and not reading.cancelled():
                reading.result()

    async def _read(self) -> None:
        async for frame in self._player:
            while self._frames and self._frames[-1].event.version >= frame.event.version:
                self._frames.pop()  # it was wound back
            self._frames.append(frame)
            self._more.set()

    def _press(self, key: bytes) -> None:
        player = self._player
        match key:
            case b" ":
                player.resume() if player.paused else player.pause()
            case b"\x1b[C" | b"l":
                player.pause()
                player.step()
            case b"\x1b[D" | b"h":
                player.pause()
                version = self._frames[-1].event.version if self._frames else 1
                player.seek(version=max(version - 1, 1))
                player.step()
            case b"+" | b"=":
                player.speed = min((player.speed or 1) * 2, 1e6)
            case b"-":
                player.speed = max((player.speed or 1) / 2, 1 / 64)
            case b"q" | b"\x1b" | b"\x03":
                self._quit.set()

    @contextmanager
    def _keys(self) -> Iterator[None]:
        """Keys one by one, without showing them."""
        import termios
        import tty

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        loop = asyncio.get_running_loop()
        tty.setcbreak(terminal)
        keyboard = Keyboard(self._press)
        loop.add_reader(terminal, lambda: keyboard.take(os.read(terminal, 256)))
        try:
            yield
        finally:
            loop.remove_reader(terminal)
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    def _render(self) -> RenderableType:
        frame, player = self._frames[-1], self._player
        parts: list[RenderableType] = []
        if frame.state is not None:
            for name in ("message", "error"):
                if frame.state.get(name):
                    parts.append(block(frame.state[name], 3))
            if frame.state.get("progress") is not None:
                parts.append(progress_bar(frame.state["progress"], self._console))
        parts += [event_line(each.event, self._console) for each in self._frames]
        for part in parts:
            if isinstance(part, Text):
                part.no_wrap, part.overflow = True, "ellipsis"
        status = Text("deleted", "yellow") if frame.state is None else self._status(frame.state["status"])
        speed = "at once" if player.speed is None else f"x{player.speed:g}"
        state = "ended" if self._ended else f"paused, {speed}" if player.paused else speed
        title = Text.assemble((line(frame.event.job_id), "bold"), "  ", status)
        where = f"{local_time(player.story or frame.at)} · event {frame.event.version} · {state}"
        foot = Text(where if self._ended else f"{where} · {_HELP}", "dim")
        return Panel(Group(*parts), title=title, title_align="left", subtitle=foot, subtitle_align="left")

    def _status(self, status: str) -> Text:
        return status_text(status, self._console)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
