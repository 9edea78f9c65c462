"""What `export ledger` and `import ledger` do: bars, and what is told at the end."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from ...domain import SchemaNotReady
from ...infrastructure import Settings
from ...projections import back_up_to_file, back_up_to_stream, check_backup, restore
from . import answers, show_json
from .errors import UsageProblem
from .progress import make_progress, waiting
from .show_text import count, leave_quietly, line, make_console
from .standard_input import is_standard_input, name_of, open_input

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def export_ledger(settings: Settings, file: Path, *, overwrite: bool, json: bool) -> None:
    """Write the file, and tell of it on the error stream, or as JSON."""
    piped = str(file) == "-"
    if piped and json:
        raise UsageProblem("--json", "the output is the backup itself", "Name a file, or leave it out.")
    if piped and sys.stdout.isatty():
        raise UsageProblem("FILE", "a backup is no text for a terminal", "Name a file, as ledger.jsonl.gz.")
    from ..runtime import engine_for_threads
    from .opened import prepare

    with waiting("open"):
        prepare(settings, create=False)
    with engine_for_threads(settings) as engine, make_progress(*_COLUMNS) as bar:
        task = bar.add_task("write", total=None)

        def show(done: int, size: int) -> None:
            bar.update(task, completed=done, total=size)

        if piped:
            try:
                with open(1, "wb", closefd=False) as output:  # buffered, whatever PYTHONUNBUFFERED says
                    written = back_up_to_stream(engine, output, ledger=settings.ledger, on_progress=show)
            except BrokenPipeError:
                leave_quietly()
        else:
            written = back_up_to_file(engine, file, ledger=settings.ledger, overwrite=overwrite, on_progress=show)
    if json:
        told = {"ledger": written.ledger, "size": written.size, "root": written.root.hex()}
        show_json.show(answers.BackedUp(file=str(file), **told))
        return
    name = "the output" if piped else line(file.name)
    _tell(f"{name} holds ledger {written.ledger!r}: {count(written.size, 'event')}", written.root)


def import_ledger(settings: Settings, file: Path, *, json: bool) -> None:
    """Load the file, and tell of it on the error stream, or as JSON."""
    from ..runtime import NothingRecorded, check_folder, engine_for_threads
    from .opened import prepare

    to_make = False
    database = check_folder(settings.database_url)
    try:
        with waiting("open"):
            prepare(settings, create=False)
    except (NothingRecorded, SchemaNotReady):
        if database is None:
            raise
        to_make = True
    with _at_hand(file) as backup, make_progress(*_COLUMNS) as bar:
        tasks = {what: bar.add_task(what, total=None) for what in ("check", "load")}

        def show(what: str, done: int, size: int) -> None:
            bar.update(tasks[what], completed=done, total=size)

        whole = check_backup(backup, on_progress=show)
        if to_make:  # not before, since nothing is to be left of a backup that is refused
            prepare(settings, create=True)
        with engine_for_threads(settings) as engine:
            restored = restore(engine, whole, on_progress=show)
    if json:
        show_json.show(answers.Restored(**{**restored._asdict(), "root": restored.root.hex()}))
        return
    told = f"ledger {restored.ledger!r} has {count(restored.size, 'event')}, {restored.loaded:,} of them loaded now"
    _tell(told, restored.root)


@contextmanager
def _at_hand(file: Path) -> Iterator[Path]:
    """A file that can be read twice: what comes through a pipe is kept meanwhile."""
    if not is_standard_input(file) and (file.is_file() or file.is_dir() or not file.exists()):
        yield file  # what cannot be read is told when it is
        return
    with TemporaryDirectory(prefix="execution-ledger-") as folder:
        kept = Path(folder, Path(name_of(file)).name)
        with waiting("read"), open_input(file) as source, kept.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        yield kept


def _tell(what: str, root: bytes) -> None:
    make_console(stderr=True).print(Text(f"{what}, root {root.hex()}", "green"), soft_wrap=True)
