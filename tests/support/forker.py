"""Imports what our processes need, once, and forks each one that it is asked for: of a command, or of a script.

A script: `forked.py` starts it, with a socket as its standard input.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import termios
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from execution_ledger.api import cli, terminal
from execution_ledger.api.http import server

LARGEST = 1 << 16


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; what was asked for in a process that was forked, None in this one, at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who watch
    while True:
        text, descriptors, _, _ = socket.recv_fds(requests, LARGEST, 4)
        if not text:
            return None
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            child = os.fork()
            if child == 0:
                request = json.loads(text)
                become(request, descriptors[:3])
                return request
            watch(child, descriptors)
        for each in descriptors:
            os.close(each)


def watch(child: int, descriptors: list[int]) -> None:
    """Tell its number, and how it ends; as its parent, which nobody else can be."""
    *streams, answers = descriptors
    for each in (*range(3), *streams):
        os.close(each)
    with os.fdopen(answers, "w") as told:
        print(child, file=told, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=told)
    os._exit(0)


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Have all that a process has of its own."""
    os.setsid()
    for number, each in enumerate(streams):
        os.dup2(each, number)
    os.closerange(3, 256)
    if request["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    # Without a context (SIM115): they last as long as the process.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115


def live(request: dict[str, Any]) -> None:
    """Run what was asked for, as Python runs it."""
    script = request["script"]
    sys.argv = [script or cli.__file__, *request["arguments"]]
    if script is None:
        cli.main()
    else:
        sys.path[0] = str(Path(script).parent)
        runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    for module in pkgutil.iter_modules(terminal.__path__, f"{terminal.__name__}."):
        import_module(module.name)
    assert server.serve  # what it needs is there, too
    cli.command()
    gc.freeze()
    if (asked := serve(socket.socket(fileno=os.dup(0)))) is not None:
        live(asked)
