"""What `verify`, `rebuild` and `projections` do, and how they show it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from ...domain import UnknownProjection
from ...infrastructure import Settings
from ...projections import ProjectionControl, ProjectionStatus, Rebuild, RebuildReport
from ...projections import verify as find_differences
from ..runtime import PROJECTIONS
from . import show_json
from .opened import opened
from .progress import make_progress
from .show_text import count, line, local_time, make_console

_HISTORY = "execution_history"


@contextmanager
def _progress(unit: str) -> Iterator[Any]:
    """A bar on a terminal; called with how many of how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with make_progress(*columns) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def verify_and_show(settings: Settings, *, hashes: bool, json: bool) -> int:
    """Each difference as it is found; 1 where there is one."""
    console, found, done = make_console(), [], 0
    with opened(settings) as engine, _progress("executions") as show:

        def tell(progress: Any) -> None:
            nonlocal done
            done = progress.executions
            show(done, progress.total)

        for difference in find_differences(engine, settings.ledger, hashes=hashes, progress=tell):
            if json:
                found.append(difference)
                continue
            found.append(None)
            console.print(Text(line(str(difference)), "red"))
    if json:
        answer = {"ledger": settings.ledger, "executions": done, "differences": found}
        show_json.show(msgspec.to_builtins(answer, enc_hook=str))
    elif found:
        console.print(Text(f"{count(len(found), 'difference')} in {count(done, 'execution')}.", "bold red"))
    else:
        console.print(Text(f"{count(done, 'execution')} verified: no difference.", "green"))
    return 1 if found else 0


def rebuild_and_show(settings: Settings, projection: str, *, check: bool, keep: bool) -> int:
    """Build, tell what differs, and swap it in unless it is only to be checked."""
    console = make_console()
    with opened(settings) as engine:
        rebuild = _rebuild(engine, settings, projection)
        with _progress(projection) as show:
            rebuild.build(lambda progress: show(progress.done, progress.total))
        report = rebuild.report()
        _show_report(console, report)
        if check:
            rebuild.finish()
            return 1 if report.differences else 0
        rebuild.swap()
        if keep:
            console.print(Text("Swapped in. --roll-back puts back what it replaced, --finish forgets it.", "green"))
        else:
            rebuild.finish()
            console.print(Text("Swapped in.", "green"))
    return 0


def end_rebuild(settings: Settings, projection: str, *, roll_back: bool) -> int:
    """Roll back what was swapped in, or forget what it replaced."""
    console = make_console()
    with opened(settings) as engine:
        rebuild = _rebuild(engine, settings, projection)
        if roll_back:
            left = rebuild.roll_back()
            gone_on = f" {count(left, 'execution')} had gone on since, and stayed." if left else ""
            console.print(Text(f"Rolled back.{gone_on}", "green"))
        else:
            rebuild.finish()
            console.print(Text("Finished.", "green"))
    return 0


def _rebuild(engine: Engine, settings: Settings, name: str) -> Rebuild:
    if name == _HISTORY:
        return Rebuild(engine, settings.ledger)
    for projection in PROJECTIONS:
        if projection.name == name:
            return Rebuild(engine, settings.ledger, projection)
    known = ", ".join([_HISTORY, *(projection.name for projection in PROJECTIONS)])
    raise UnknownProjection(name=name, known=known)


def _show_report(console: Any, report: RebuildReport) -> None:
    for table in report.tables:
        numbers = f"{table.missing:,} missing, {table.extra:,} too many, {table.changed:,} different"
        console.print(Text(f"{table.table}: {numbers}", "yellow" if table.total else ""))
        for kind, keys in table.samples.items():
            shown = ", ".join(" ".join(f"{name}={value}" for name, value in key.items()) for key in keys[:5])
            console.print(Text(f"  {kind}: {line(shown)}{' …' if len(keys) > 5 else ''}", "dim"))


def show_projections(settings: Settings, retry: str | None, *, json: bool) -> None:
    """A line for each, the longest lag first."""
    console = make_console()
    with opened(settings) as engine:
        control = ProjectionControl(engine, PROJECTIONS)
        if retry is not None and not control.retry(retry, settings.ledger):
            console.print(Text(f"{line(retry)} has not stopped.", "dim"))
        found = control.statuses(settings.ledger)
    if json:
        show_json.show(
            {"projections": [msgspec.to_builtins(each) | {"lag": each.lag, "stopped": each.stopped} for each in found]}
        )
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("projection", "position", "lag", "state"):
        table.add_column(name, justify="right" if name in ("position", "lag") else "left", no_wrap=name != "state")
    for each in found:
        table.add_row(each.projection, f"{each.position:,}", f"{each.lag:,}", _state(each))
    console.print(table if found else Text("Nothing is recorded in this ledger yet.", "dim"))


def _state(status: ProjectionStatus) -> Text:
    if status.stopped:
        return Text(line(f"stopped at {status.failed_position}: {status.error}"), "red")
    aside = f", {count(status.quarantined, 'execution')} left out" if status.quarantined else ""
    if status.updated_at is None:
        return Text("not begun", "dim")
    return Text(f"{'up to date' if not status.lag else 'behind'}{aside}, moved {local_time(status.updated_at)}")
