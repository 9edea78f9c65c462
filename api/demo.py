"""A small story on a ledger of its own: `make demo`, or `python -m execution_ledger.api.demo`.

Every command below is real, and runs by the code that `execution-ledger record` runs by.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.rule import Rule
from rich.text import Text

from .cli import run
from .terminal.show_text import make_console

FOLDER = Path(".demo")
"""In the current folder; git ignores the ledger in it."""

_HELLO = "print('hello from a recorded command')"
_NOISY = """
import sys
print('reading 3 files', flush=True)
print('warning: b.csv has no header', file=sys.stderr)
print('read 1,204 rows')
"""
_FAILING = """
import sys
print('connecting to the warehouse', flush=True)
sys.exit('error: the warehouse is closed')
"""
_PROGRESS = """
import asyncio, os, time
from sqlalchemy.ext.asyncio import AsyncSession
from execution_ledger.infrastructure import ExecutionRepository, create_engine

async def main():
    engine = create_engine(os.environ['EXECUTION_LEDGER_DATABASE_URL'])
    async with AsyncSession(engine) as session:
        runs = ExecutionRepository(session, actor='train.py')
        for epoch in range(1, 5):
            time.sleep(0.1)
            print('epoch', epoch, 'loss', round(1 / epoch, 2), flush=True)
            done = {'progress': epoch / 4, 'message': f'epoch {epoch} of 4'}
            await runs.update_execution(os.environ['EXECUTION_LEDGER_JOB_ID'], done)
    await engine.dispose()

asyncio.run(main())
"""
_EXTRACT = "import time; print('1,204 rows from 3 files'); time.sleep(0.3)"
_INNER = "import time; print('checking 1,204 rows'); time.sleep(0.15); print('all good')"
_LOAD = "import sys, time; time.sleep(0.25); print('disk full', file=sys.stderr); sys.exit(2)"


def main() -> int:
    """Record, then look at what was recorded."""
    console = make_console()
    _fresh_ledger()
    python, nested = (sys.executable, "-c"), (sys.executable, "-m", "execution_ledger.api.cli", "record", "-q")
    stories: list[tuple[str, int, Sequence[str]]] = [
        ("A command", 0, ("--name", "hello", "--", *python, _HELLO)),
        ("One that also writes to its error stream", 0, ("--name", "read files", "--", *python, _NOISY)),
        ("One that fails", 1, ("--name", "refresh", "--attempt", "2", "--", *python, _FAILING)),
        ("One that reports its progress through the library", 0, ("--name", "train", "--", *python, _PROGRESS)),
        (
            "Steps: one records a run of its own, one fails, one is not started",
            2,
            (
                *("--name", "nightly", "--job-id", "nightly-1", "--reason", "demo"),
                *("--step", "extract", "--", *python, _EXTRACT),
                *("--step", "check", "--", *nested, "--name", "rows", "--", *python, _INNER),
                *("--step", "load", "--", *python, _LOAD),
                *("--step", "notify", "--", *python, "print('never printed')"),
            ),
        ),
    ]
    for title, expected, arguments in stories:
        _title(title)
        _typed("record", *arguments)
        if (status := run(["record", *arguments])) != expected:
            print(f"error: the demo expected exit status {expected}, not {status}", file=sys.stderr)
            return 1
        print(flush=True)
    for title, command in (
        ("What ran", ["history"]),
        ("What happened in one of them", ["timeline", "nightly-1"]),
        ("The ledger", ["ledger"]),
    ):
        _title(title)
        _typed(*command)
        if status := run(command):
            return status
        console.print()
    _farewell()
    return 0


def _fresh_ledger() -> None:
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / "ledger.db"
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    for name in [name for name in os.environ if name.startswith("EXECUTION_LEDGER_")]:
        del os.environ[name]  # the demo is the same for everybody
    os.environ["EXECUTION_LEDGER_DATABASE_URL"] = f"sqlite:///{file}"


def _title(title: str) -> None:
    console = make_console()
    width = min(console.width, 80)
    console.print(Rule(Text(title, "bold"), align="left", style="dim"), width=width)


def _typed(*arguments: str) -> None:
    """The command as somebody would type it, without the code that stands in for a program."""
    shown = ["python" if argument == sys.executable else argument for argument in arguments]
    words = ["'…'" if "\n" in word or "print(" in word else shlex.quote(word) for word in shown]
    line = " ".join(words).replace("python -m execution_ledger.api.cli", "execution-ledger")
    line = line.replace(" --step ", " \\\n      --step ")
    make_console().print(Text(f"$ execution-ledger {line}", "cyan"), soft_wrap=True)


def _farewell() -> None:
    console = make_console()
    _title("Your turn")
    program = Path(sys.executable).with_name("execution-ledger")
    name = os.path.relpath(program) if program.exists() else f"{Path(sys.executable).name} -m execution_ledger.api.cli"
    console.print(f"The ledger is in {FOLDER / 'ledger.db'}. Look at it:")
    lines = [f"export EXECUTION_LEDGER_DATABASE_URL={os.environ['EXECUTION_LEDGER_DATABASE_URL']}"]
    lines += [f"{name} {command}" for command in ("status nightly-1", "history --status failed", "ledger --json")]
    console.print(Text("".join(f"  {line}\n" for line in lines), "cyan"), soft_wrap=True, end="")
    console.print("Record something of your own:")
    console.print(Text(f"  {name} record -- ls -l", "cyan"), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
