"""Running one command: its output goes through to ours and to the recording, as it comes."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from .signals import Signals, Target

_READ = 256 * 1024
_SHORT = 1024
_LINE_END = 0.01
_LINGER = 1.0
"""Seconds that we go on reading after the command ended, for processes that it left behind."""
_LINGER_BYTES = 1024**2

Sink = Callable[[str, bytes], Awaitable[None]]
"""Takes the name of a stream and what was read from it."""


class NotStarted(Exception):
    """The command could not be started."""

    def __init__(self, problem: str, exit_code: int) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    """Negative for a signal."""
    at: datetime
    signalled: signal.Signals | None
    """What we were told while it ran."""
    left_behind: bool
    """Whether something that it started still holds its output."""
    lost_output: str | None
    """Why output could not be passed on, where that is not for want of a reader."""

    @property
    def exit_code(self) -> int:
        """As a shell tells it."""
        return self.returncode if self.returncode >= 0 else 128 - self.returncode

    @property
    def text(self) -> str:
        """For people."""
        if self.returncode >= 0:
            return f"exit status {self.returncode}"
        with suppress(ValueError):
            return f"ended by {signal.Signals(-self.returncode).name}"
        return f"ended by signal {-self.returncode}"


async def run_process(argv: Sequence[str], env: Mapping[str, str], sink: Sink, signals: Signals) -> Ended:
    """Run a command to its end."""
    # At a terminal it stays in our group, or it could not ask its user anything; elsewhere a group of its own makes it
    # and its children one target for signals.
    own_group = not _has_terminal()
    pipes = [await _Pipe.open(source, fd) for source, fd in (("stdout", 1), ("stderr", 2))]
    try:
        process = await _start(argv, env, own_group, pipes)
        pumps = [asyncio.create_task(pipe.pump(sink)) for pipe in pipes]
        with signals.about(target := Target(process.pid, own_group)):
            returncode = await process.wait()
        at, signalled = datetime.now(UTC), signals.received
        for pipe in pipes:
            pipe.ended.set()
        held = any(await asyncio.gather(*pumps))
        if held and signalled and own_group:
            target.send(signal.SIGKILL)  # what outlived its cancelled leader
        lost = next((pipe.problem for pipe in pipes if pipe.problem), None)
        return Ended(returncode, at, signalled, held, lost)
    finally:
        for pipe in pipes:
            pipe.close()


async def _start(argv: Sequence[str], env: Mapping[str, str], own_group: bool, pipes: Sequence[_Pipe]) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            env=dict(env),
            stdout=pipes[0].write_end,
            stderr=pipes[1].write_end,
            process_group=0 if own_group else None,
        )
    except (OSError, ValueError) as error:
        name = argv[0]
        if isinstance(error, FileNotFoundError) and "/" not in name:
            raise NotStarted(f"command not found: {name}", 127) from error
        if isinstance(error, FileNotFoundError):
            why = "its interpreter is missing" if os.path.exists(name) else "no such file"
            raise NotStarted(f"cannot run {name}: {why}", 127) from error
        why = (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)).lower()
        raise NotStarted(f"cannot run {name}: {why}", 126) from error
    finally:
        for pipe in pipes:
            os.close(pipe.write_end)


@dataclass(slots=True)
class _Pipe:
    """One stream of the command."""

    source: str
    fd: int
    """Where it goes through to."""
    write_end: int
    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport
    ended: asyncio.Event
    problem: str | None = None

    @classmethod
    async def open(cls, source: str, fd: int) -> _Pipe:
        """A pipe whose reading end we keep."""
        read_end, write_end = os.pipe()
        reader = asyncio.StreamReader(limit=_READ)
        loop = asyncio.get_running_loop()
        file = os.fdopen(read_end, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        return cls(source, fd, write_end, reader, transport, asyncio.Event())

    def close(self) -> None:
        """Read no more: whoever still writes is told so by SIGPIPE."""
        self.transport.close()

    async def pump(self, sink: Sink) -> bool:
        """Pass everything on; answers whether somebody still held the stream when we stopped reading."""
        patience, allowance = _LINGER, _LINGER_BYTES
        while True:
            before = time.monotonic()
            if not self.ended.is_set():
                data = await self._read_or_end()
            else:
                data = await self._read_within(patience)
                patience -= time.monotonic() - before
                allowance -= len(data or b"")
            if data and len(data) < _SHORT and not data.endswith(b"\n"):
                # Perhaps its line end is on its way: lines that stay whole do not mix with those of the other stream.
                data += await self._read_within(_LINE_END) or b""
            if data == b"":
                return False
            if data is None or allowance < 0:
                if self.ended.is_set() and (data is not None or patience <= 0):
                    return True
                continue
            error = await asyncio.to_thread(_write, self.fd, data)
            await sink(self.source, data)
            if error is not None:
                # As if the command had written there itself: its next write fails.
                self.close()
                self.problem = None if error.errno == errno.EPIPE else error.strerror
                return False

    async def _read_or_end(self) -> bytes | None:
        """What is read next; None where the command ends first."""
        read, ended = asyncio.ensure_future(self.reader.read(_READ)), asyncio.ensure_future(self.ended.wait())
        await asyncio.wait({read, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if read.done():
            return read.result()
        return await _give_up(read)

    async def _read_within(self, seconds: float) -> bytes | None:
        read = asyncio.ensure_future(self.reader.read(_READ))
        await asyncio.wait({read}, timeout=max(seconds, 0))
        return read.result() if read.done() else await _give_up(read)


async def _give_up(read: asyncio.Future[bytes]) -> bytes | None:
    read.cancel()
    with suppress(asyncio.CancelledError):
        return await read
    return None


def _write(fd: int, data: bytes) -> OSError | None:
    """Write it all; answers what went wrong."""
    view = memoryview(data)
    try:
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:  # somebody who shares the terminal made it so
                select.select([], [fd], [])
    except OSError as error:
        return error
    return None


def _has_terminal() -> bool:
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False
