"""Processes of ours that are there at once: the command line's, and those of scripts.

Most take less time than a Python that starts and imports what they need. On Linux one process has done that, and is
forked for each; elsewhere, where not every library stands that, each is a Python of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from subprocess import DEVNULL, PIPE, TimeoutExpired
from typing import IO, Any, Self

_STARTING = threading.Lock()
LARGEST = 1 << 16
"""Bytes of what is sent for one process at most: that much a socket takes at once, and a pipe."""
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
        self._telling = threading.Lock()

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
            with self._telling:
                if self.returncode is None:  # else another thread was told
                    told = self._answers.read()
                    assert told, "who watches it has ended"
                    self._answers.close()
                    self.returncode = int(told)
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

        def left() -> float | None:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        read, rest = {self.stdout: bytearray(), self.stderr: bytearray()}, memoryview(input)
        with selectors.DefaultSelector() as selector:
            for each in (self.stdin, self.stdout, self.stderr):
                if each is not None and not each.closed:
                    selector.register(each, selectors.EVENT_WRITE if each is self.stdin else selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(left())
                if not ready:
                    raise TimeoutExpired("execution-ledger", timeout or 0)
                for key, _ in ready:
                    stream: Any = key.fileobj
                    if stream is self.stdin:
                        rest = _write_some(key.fd, rest)
                        over = not rest
                    else:
                        some = stream.read1(LARGEST)
                        read[stream] += some
                        over = not some
                    if over:
                        selector.unregister(stream)
                        stream.close()
        self.wait(left())
        return bytes(read[self.stdout]), bytes(read[self.stderr])


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
    name = None if script is None else str(script)
    request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "terminal": terminal, "script": name}
    told = json.dumps(request).encode()
    if sys.platform != "linux" or len(told) > LARGEST or _starts_otherwise(env):
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
        socket.send_fds(_forker()[0], [told], [*(descriptor for descriptor, _ in ends), telling])
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


def _forker() -> tuple[socket.socket, dict[str, str]]:
    """Where to ask for a process, and the environment that the one who forks was started with."""
    with _STARTING:
        return _start_forker()


@cache
def _start_forker() -> tuple[socket.socket, dict[str, str]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "forker.py")], stdin=theirs.fileno(), start_new_session=True
        )
    atexit.register(lambda: (ours.close(), process.wait(10)))
    return ours, dict(os.environ)


def _starts_otherwise(env: Mapping[str, str]) -> bool:
    """Whether a Python that starts with these variables is another one."""
    _, before = _forker()
    changed = {name for name in {*env, *before} if env.get(name) != before.get(name)}
    return any(name.startswith(_AT_START) for name in changed)


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


def _write_some(descriptor: int, data: memoryview) -> memoryview:
    """What is left to write; nothing where nobody reads any more."""
    try:
        return data[os.write(descriptor, data[: select.PIPE_BUF]) :]
    except BrokenPipeError:
        return data[:0]
