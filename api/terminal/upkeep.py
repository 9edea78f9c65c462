"""What `verify`, `rebuild` and `projections` do, and how they show it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from ...domain import UnknownProjection
from ...infrastructure import Settings
from ...projections import ProjectionControl, ProjectionStatus, Rebuild, RebuildReport
from ...projections import verify as find_differences
from ..runtime import PROJECTIONS
from . import answers, show_json
from .opened import opened
from .progress import make_progress, waiting
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
        show_json.show(answers.Verified(ledger=settings.ledger, executions=done, differences=found))
    elif found:
        console.print(Text(f"{count(len(found), 'difference')} in {count(done, 'execution')}.", "bold red"))
    else:
        console.print(Text(f"{count(done, 'execution')} verified: no difference.", "green"))
    return 1 if found else 0


def rebuild_and_show(settings: Settings, projection: str, *, check: bool, keep: bool, json: bool) -> int:
    """Build, tell what differs, and swap it in unless it is only to be checked; 1 where something would change."""
    console = make_console()
    with opened(settings) as engine:
        rebuild = _rebuild(engine, settings, projection)
        with _progress(projection) as show:
            rebuild.build(lambda progress: show(progress.done, progress.total))
        report = rebuild.report()
        if not json:
            _show_report(console, report)
        with waiting(projection):
            if not check:
                rebuild.swap()
            if check or not keep:
                rebuild.finish()
    if json:
        _show_outcome(settings, projection, "checked" if check else "kept" if keep else "swapped in", report)
    elif not check:
        after = " --roll-back puts back what it replaced, --finish forgets it." if keep else ""
        console.print(Text(f"Swapped in.{after}", "green"))
    return 1 if check and report.differences else 0


def end_rebuild(settings: Settings, projection: str, *, roll_back: bool, json: bool) -> int:
    """Roll back what was swapped in, or forget what it replaced."""
    left = None
    with waiting(projection), opened(settings) as engine:
        rebuild = _rebuild(engine, settings, projection)
        if roll_back:
            left = rebuild.roll_back()
        else:
            rebuild.finish()
    if json:
        _show_outcome(settings, projection, "rolled back" if roll_back else "finished", left=left)
        return 0
    gone_on = f" {count(left, 'execution')} had gone on since, and stayed." if left else ""
    make_console().print(Text(f"Rolled back.{gone_on}" if roll_back else "Finished.", "green"))
    return 0


def _show_outcome(
    settings: Settings, projection: str, outcome: Any, report: RebuildReport | None = None, left: int | None = None
) -> None:
    told = {"ledger": settings.ledger, "projection": projection, "outcome": outcome}
    show_json.show(answers.Rebuilt(**told, report=report, left=left))


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
    ask = _projections if settings.url is None else _projections_of_service
    found, retried = ask(settings, retry)
    if json:
        told = [show_json.projection(each) for each in found]
        show_json.show(answers.Projections(projections=told, retried=retried))
        return
    console = make_console()
    if retried is False:
        console.print(Text(f"{line(retry)} has not stopped.", "dim"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("projection", "position", "lag", "state"):
        table.add_column(name, justify="right" if name in ("position", "lag") else "left", no_wrap=name != "state")
    for each in found:
        table.add_row(each.projection, f"{each.position:,}", f"{each.lag:,}", _state(each))
    console.print(table if found else Text("Nothing is recorded in this ledger yet.", "dim"))


def _projections(settings: Settings, retry: str | None) -> tuple[list[ProjectionStatus], bool | None]:
    """How they are, and whether one that was to try again had stopped."""
    with waiting("projections"), opened(settings) as engine:
        control = ProjectionControl(engine, PROJECTIONS)
        retried = None if retry is None else control.retry(retry, settings.ledger)
        return control.statuses(settings.ledger), retried


def _projections_of_service(settings: Settings, retry: str | None) -> tuple[list[ProjectionStatus], bool | None]:
    from .service_reader import open_client

    async def ask() -> tuple[list[ProjectionStatus], bool | None]:
        async with open_client(settings) as client:
            found = await client.projections()
            if retry is None:
                return found, None
            stopped = any(each.projection == retry and each.stopped for each in found)
            return await client.retry_projection(retry), stopped

    with waiting("projections"):
        return asyncio.run(ask())


def _state(status: ProjectionStatus) -> Text:
    if status.stopped:
        return Text(line(f"stopped at {status.failed_position}: {status.error}"), "red")
    aside = f", {count(status.quarantined, 'execution')} left out" if status.quarantined else ""
    if status.updated_at is None:
        return Text("not begun", "dim")
    return Text(f"{'up to date' if not status.lag else 'behind'}{aside}, moved {local_time(status.updated_at)}")
