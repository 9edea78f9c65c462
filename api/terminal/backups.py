"""What `export ledger` and `import ledger` do: bars, and what is told at the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from ...domain import InvalidInput
from ...infrastructure import Settings
from ...projections import back_up_to_file, restore
from . import answers, show_json
from .errors import UsageProblem
from .progress import make_progress
from .show_text import count, line, make_console

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def export_ledger(settings: Settings, file: Path, *, overwrite: bool, json: bool) -> None:
    """Write the file, and tell of it on the error stream, or as JSON."""
    if str(file) == "-":
        raise UsageProblem("FILE", "a backup is not written to the output", "Name a file, as ledger.jsonl.gz.")
    from ..runtime import engine_for_threads, open_ledger

    async def check() -> None:
        async with open_ledger(settings, create=False):
            pass

    asyncio.run(check())
    with engine_for_threads(settings) as engine, make_progress(*_COLUMNS) as bar:
        task = bar.add_task("write", total=None)
        written = back_up_to_file(
            engine,
            file,
            ledger=settings.ledger,
            overwrite=overwrite,
            on_progress=lambda done, size: bar.update(task, completed=done, total=size),
        )
    if json:
        told = {"ledger": written.ledger, "size": written.size, "root": written.root.hex()}
        show_json.show(answers.BackedUp(file=str(file), **told))
        return
    _tell(f"{line(file.name)} holds ledger {written.ledger!r}: {count(written.size, 'event')}", written.root)


def import_ledger(settings: Settings, file: Path, *, json: bool) -> None:
    """Load the file, and tell of it on the error stream, or as JSON."""
    try:
        file.open("rb").close()
    except OSError as error:  # told before a database is made for it
        problem = f"{file} cannot be read: {error.strerror}"
        raise InvalidInput(field="FILE", problem=problem, remedy="Name a file that is there.") from error
    from ..runtime import engine_for_threads, open_ledger

    async def prepare() -> None:
        async with open_ledger(settings):
            pass

    asyncio.run(prepare())
    with engine_for_threads(settings) as engine, make_progress(*_COLUMNS) as bar:
        tasks = {what: bar.add_task(what, total=None) for what in ("check", "load")}
        restored = restore(
            engine, file, on_progress=lambda what, done, size: bar.update(tasks[what], completed=done, total=size)
        )
    if json:
        show_json.show(answers.Restored(**{**restored._asdict(), "root": restored.root.hex()}))
        return
    told = f"ledger {restored.ledger!r} has {count(restored.size, 'event')}, {restored.loaded:,} of them loaded now"
    _tell(told, restored.root)


def _tell(what: str, root: bytes) -> None:
    make_console(stderr=True).print(Text(f"{what}, root {root.hex()}", "green"), soft_wrap=True)
