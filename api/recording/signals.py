"""Signals while a command runs: handed on to it, and made stronger where it does not end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_OF_TERMINAL = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
"""What a terminal sends to a whole group: whoever shares our group has had it."""


class Target(NamedTuple):
    """A running command: with a group of its own, or in ours."""

    pid: int
    own_group: bool

    def send(self, number: int) -> None:
        """Signal the command, with its children where it has a group of its own."""
        with suppress(ProcessLookupError, PermissionError):
            (os.killpg if self.own_group else os.kill)(self.pid, number)


class Signals:
    """Remembers the first signal, and sees to it that the command ends."""

    def __init__(self, grace: float) -> None:
        self.received: signal.Signals | None = None
        self.unheard = asyncio.Event()
        """Set by a signal while no command ran."""
        self._grace = grace
        self._count = 0
        self._target: Target | None = None
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals; those that we were started to ignore (`nohup`, `&` in a script) stay ignored."""
        loop = asyncio.get_running_loop()
        handled = [number for number in _HANDLED if signal.getsignal(number) is not signal.SIG_IGN]
        for number in handled:
            loop.add_signal_handler(number, self._got, number)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    @contextmanager
    def about(self, target: Target) -> Iterator[None]:
        """Signals concern this command."""
        self._target = target
        if self.received is not None:  # it came while the command was being started
            target.send(self.received)
            self._escalate([signal.SIGKILL])
        try:
            yield
        finally:
            self._target = None
            if self._timer is not None:
                self._timer.cancel()

    def _got(self, number: signal.Signals) -> None:
        self.received = self.received or number
        self._count += 1
        target = self._target
        if target is None:
            self.unheard.set()
        elif self._count > 2:
            target.send(signal.SIGKILL)
        elif not target.own_group and number in _OF_TERMINAL:
            # Perhaps somebody signalled us alone; then the command learns of it later, and more clearly.
            self._escalate([signal.SIGTERM, signal.SIGKILL])
        else:
            target.send(number)
            self._escalate([signal.SIGKILL])

    def _escalate(self, numbers: Sequence[int]) -> None:
        if self._timer is not None:
            self._timer.cancel()

        def send() -> None:
            if self._target is not None:
                self._target.send(numbers[0])
                if numbers[1:]:
                    self._escalate(numbers[1:])

        self._timer = asyncio.get_running_loop().call_later(self._grace, send)
