"""Processes of ours that are there at once: the command line's, and those of scripts.

Most take less time than a Python that starts and imports what they need. On Linux one process has done that, and is
forked for each; elsewhere, where not every library stands that, each is a Python of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from subprocess import DEVNULL, PIPE, TimeoutExpired
from typing import IO, Self

LARGEST = 1 << 16
"""Bytes of what is sent for one process at most: that much a socket takes at once."""
COMMAND = [sys.executable, "-m", "execution_ledger.api.cli"]
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_AT_START = ("PYTHON", "LANG", "LC_")
"""Variables that a Python reads when it starts, so that it has to."""


class Forked:
    """A process that was forked for us by another: of `subprocess.Popen` what tests ask for."""

    def __init__(self, pid: int, answers: int, pipes: Sequence[IO[bytes] | None]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = pipes
        self._answers = os.fdopen(answers, "rb", buffering=0)
        """Tells the exit status at the end."""
        self._told = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.stdin, self.stdout, self.stderr):
            if each is not None:
                with suppress(BrokenPipeError):
                    each.close()
        self.wait()

    def poll(self) -> int | None:
        """Its exit status, if it has ended; negative where a signal ended it."""
        with suppress(TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended."""
        while self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise TimeoutExpired("execution-ledger", timeout or 0)
            read = self._answers.read(64)
            assert read, "who watches it has ended"
            self._told += read
            if self._told.endswith(b"\n"):
                self._answers.close()
                self.returncode = int(self._told)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, input: bytes = b"", timeout: float | None = None) -> tuple[bytes, bytes]:
        """Give it its input, and wait for its end: what it said."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pool = ThreadPoolExecutor(3)
        if self.stdin is not None and not self.stdin.closed:
            pool.submit(_write, self.stdin, input)
        reading = [_begin_to_read(pool, each) for each in (self.stdout, self.stderr)]
        pool.shutdown(wait=False)
        self.wait(timeout)
        try:
            out, err = (each.result(None if deadline is None else deadline - time.monotonic()) for each in reading)
        except TimeoutError as error:
            raise TimeoutExpired("execution-ledger", timeout or 0) from error
        return out, err


Process = Forked | subprocess.Popen[bytes]
"""Either."""


def start(
    arguments: Sequence[str],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    *,
    stdin: int | IO[bytes] = DEVNULL,
    stdout: int | IO[bytes] = PIPE,
    stderr: int | IO[bytes] = PIPE,
    terminal: bool = False,
    script: Path | None = None,
) -> Process:
    """Start `execution-ledger`, or a script, in a session of its own; at a terminal, if its input is one."""
    cwd, env = cwd or Path.cwd(), os.environ if env is None else env
    changed = {name for name in {*env, *os.environ} if env.get(name) != os.environ.get(name)}
    request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "terminal": terminal}
    told = json.dumps(request | {"script": None if script is None else str(script)}).encode()
    if sys.platform != "linux" or len(told) > LARGEST or any(name.startswith(_AT_START) for name in changed):
        command = COMMAND if script is None else [sys.executable, str(script)]
        if terminal:
            command = [sys.executable, "-c", _TAKE_TERMINAL, *command]
        return subprocess.Popen(
            [*command, *arguments], cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    with ExitStack() as theirs:
        ends = [_stream(stdin, theirs, writes=True), *(_stream(each, theirs) for each in (stdout, stderr))]
        answers, telling = os.pipe()
        theirs.callback(os.close, telling)
        socket.send_fds(_forker(), [told], [*(descriptor for descriptor, _ in ends), telling])
    number = b""
    while not number.endswith(b"\n"):
        read = os.read(answers, 1)
        assert read, "who forks has ended"
        number += read
    return Forked(int(number), answers, [ours for _, ours in ends])


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], *, input: bytes, timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """Run `execution-ledger` in pipes, to its end."""
    with start(arguments, cwd, env, stdin=PIPE) as process:
        try:
            out, err = process.communicate(input, timeout)
        except TimeoutExpired:
            process.kill()
            raise
    assert process.returncode is not None
    return subprocess.CompletedProcess([*COMMAND, *arguments], process.returncode, out, err)


@cache
def _forker() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "forker.py")], stdin=theirs.fileno(), start_new_session=True
        )
    atexit.register(lambda: (ours.close(), process.wait(10)))
    return ours


def _stream(given: int | IO[bytes], theirs: ExitStack, *, writes: bool = False) -> tuple[int, IO[bytes] | None]:
    """The descriptor for the process, and our end of it where that is a pipe."""
    if given == DEVNULL:
        descriptor = os.open(os.devnull, os.O_RDWR)
        theirs.callback(os.close, descriptor)
        return descriptor, None
    if given == PIPE:
        read, write = os.pipe()
        theirs.callback(os.close, read if writes else write)
        return (read, os.fdopen(write, "wb")) if writes else (write, os.fdopen(read, "rb"))
    return given if isinstance(given, int) else given.fileno(), None


def _write(stream: IO[bytes], data: bytes) -> None:
    with suppress(BrokenPipeError), stream:
        stream.write(data)


def _begin_to_read(pool: ThreadPoolExecutor, stream: IO[bytes] | None) -> Future[bytes]:
    def read() -> bytes:
        if stream is None or stream.closed:
            return b""
        with stream:
            return stream.read()

    return pool.submit(read)
