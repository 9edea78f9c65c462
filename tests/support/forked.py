"""Processes of the command line that are there at once.

Most commands take less time than a Python that starts and imports what they need. On Linux one process has done that,
and is forked for each command; elsewhere, where not every library stands that, each command is a Python of its own.
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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

LARGEST = 1 << 16
"""Bytes of what is sent for one command at most: that much a socket takes at once."""
COMMAND = [sys.executable, "-m", "execution_ledger.api.cli"]
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_AT_START = ("PYTHON", "LANG", "LC_")
"""Variables that a Python reads when it starts, so that it has to."""


@dataclass
class Forked:
    """A process that was forked for us by another."""

    pid: int
    answers: int
    """Descriptor of the pipe that tells its end."""
    _told: bytes = field(default=b"", init=False)

    def wait(self, timeout: float) -> int:
        """Its exit status; negative where a signal ended it."""
        while not self._told.endswith(b"\n"):
            if not select.select([self.answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("execution-ledger", timeout)
            read = os.read(self.answers, 64)
            assert read, "who watches it has ended"
            self._told += read
        os.close(self.answers)
        return int(self._told)


@cache
def _forker() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "forker.py")], stdin=theirs.fileno(), start_new_session=True
        )
    atexit.register(lambda: (ours.close(), process.wait(10)))
    return ours


def start(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], streams: Sequence[int], *, terminal: bool = False
) -> Forked | subprocess.Popen[bytes]:
    """Start `execution-ledger` with three streams, in a session of its own; at a terminal, if its input is one."""
    changed = {name for name in {*env, *os.environ} if env.get(name) != os.environ.get(name)}
    request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "terminal": terminal}
    told = json.dumps(request).encode()
    if sys.platform != "linux" or len(told) > LARGEST or any(name.startswith(_AT_START) for name in changed):
        how = [sys.executable, "-c", _TAKE_TERMINAL, *COMMAND] if terminal else COMMAND
        stdin, stdout, stderr = streams
        return subprocess.Popen(
            [*how, *arguments], cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    answers, theirs = os.pipe()
    try:
        socket.send_fds(_forker(), [told], [*streams, theirs])
    finally:
        os.close(theirs)
    number = b""
    while not number.endswith(b"\n"):
        read = os.read(answers, 1)
        assert read, "who forks has ended"
        number += read
    return Forked(int(number), answers)


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], *, input: bytes, timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """Run `execution-ledger` in pipes, to its end."""
    pipes = [os.pipe() for _ in range(3)]
    (stdin, ours), (out, stdout), (err, stderr) = pipes
    process = start(arguments, cwd, env, [stdin, stdout, stderr])
    for each in (stdin, stdout, stderr):
        os.close(each)
    with ThreadPoolExecutor(3) as pool, open(out, "rb") as output, open(err, "rb") as errors:
        pool.submit(_write, ours, input)
        read = [pool.submit(each.read) for each in (output, errors)]
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            raise
        told = [each.result() for each in read]
    return subprocess.CompletedProcess([*COMMAND, *arguments], status, *told)


def _write(descriptor: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(descriptor, "wb") as stream:
        stream.write(data)
