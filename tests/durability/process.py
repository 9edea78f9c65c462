"""A process that writes until it is killed or told to stop. This one stays: each life is a fork of it.

A line on its standard input begins a life; what that says is a line each on the standard output.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
import traceback
from typing import Any

from durability.load import run


def say(**line: Any) -> None:
    """One line, whole or not at all: short enough for a pipe to take it in one piece, whatever kills us."""
    text = (json.dumps(line) + "\n").encode()
    for specs in ("sent", "done"):
        if len(text) > 4096 and len(line.get(specs, ())) > 1:  # PIPE_BUF
            half = len(line[specs]) // 2
            say(**line | {specs: line[specs][:half]})
            say(**line | {specs: line[specs][half:]})
            return
    os.write(1, text)


async def live(job: dict[str, Any]) -> None:
    """Write until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run(job["url"], job["name"], job["again"], say, stop)


def main() -> None:
    say(ready=True)
    pid = None
    for line in sys.stdin:
        if pid is not None:
            os.waitpid(pid, 0)
        pid = os.fork()
        if pid == 0:
            faulthandler.register(signal.SIGUSR1)  # says on stderr where everybody is
            try:
                asyncio.run(live(json.loads(line)))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        say(pid=pid)
        # Not reaped before the next life: nobody else may get its number while the test may still kill it.
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        say(ended=ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)


if __name__ == "__main__":
    main()
