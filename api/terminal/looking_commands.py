"""The commands that look closer: `diff`, `audit`, `stats`, `tail`, `replay`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    Database,
    EventTypes,
    Job,
    Json,
    LedgerName,
    OfJob,
    RecordedSince,
    RecordedUntil,
    Url,
    load_settings,
)

if TYPE_CHECKING:
    from ...projections import EventPage


class Clock(StrEnum):
    """Whose clock times are by."""

    RECORDED = "recorded"
    OCCURRED = "occurred"


class Group(StrEnum):
    """What `stats` groups by."""

    HOUR = "hour"
    DAY = "day"
    NAME = "name"
    TYPE = "type"


By = Annotated[Clock, typer.Option("--by", help="By the ledger's clock, or by those of the reporters.")]


def diff(
    ctx: typer.Context,
    job: Job,
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A version, or a time as 2026-01-31T08:00:00Z.")],
    after: Annotated[
        str | None, typer.Argument(metavar="AFTER", help="The same; now, if left out.", show_default=False)
    ] = None,
    by: By = Clock.RECORDED,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Show what changed in one execution between two versions or times."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from ...projections.replay.moments import version_or_time
    from . import reading, show_diff, show_json

    moments = version_or_time(before), None if after is None else version_or_time(after)
    found = reading.run(settings, lambda reader: reader.diff(job, *moments, by.value))
    if json:
        show_json.show(found)
    else:
        show_diff.show(job, found)


def audit(
    ctx: typer.Context,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Who did it.", show_default=False)] = None,
    type: EventTypes = None,
    job: OfJob = None,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="That reached this status. Repeatable.", show_default=False),
    ] = None,
    since: RecordedSince = None,
    until: RecordedUntil = None,
    correlation: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this piece of work.", show_default=False)
    ] = None,
    trace: Annotated[str | None, typer.Option(metavar="ID", help="Of this trace.", show_default=False)] = None,
    field: Annotated[
        str | None, typer.Option(metavar="FIELD", help="That set this field, as `status`.", show_default=False)
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="With this in a reason, an error, a message or a note.", show_default=False),
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest", metavar="", help="The oldest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, metavar="N", help="Events to show.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on where the last page ended.", show_default=False)
    ] = None,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Show who did what, when and why, and what it changed. Every filter must hold."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from . import reading, show_audit, show_json

    given: dict[str, Any] = {
        "actor": actor, "type": type or None, "status": status or None, "recorded_from": since,
        "recorded_before": until, "correlation_id": correlation, "trace_id": trace, "changed_field": field,
        "text": text,
    }  # fmt: skip
    filters = {name: value for name, value in given.items() if value is not None}

    async def read(reader: reading.Reader) -> EventPage:
        if job is not None:
            filters["job_id"] = await reader.known_job_id(job)
        return await reader.audit(limit, cursor, not oldest, filters)

    page = reading.run(settings, read)
    if json:
        show_json.show(page)
    else:
        show_audit.show(page)


def stats(
    ctx: typer.Context,
    since: Annotated[str, typer.Option(metavar="TIME", help="From this time on, or so long ago: `24h`, `7d`.")] = "7d",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before this time; now, if left out.", show_default=False)
    ] = None,
    by: Annotated[Group, typer.Option("--by", help="How to group the runs.")] = Group.DAY,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs so named.", show_default=False)] = None,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Show how runs ended, how long they took and why they failed."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from . import reading, show_json, show_stats
    from .windows import make_window

    groups = {Group.NAME: "run_name", Group.TYPE: "execution_type"}
    window = make_window(since, until, groups.get(by, by.value), name)
    found = reading.run(settings, lambda reader: reader.numbers(window))
    if json:
        show_json.show(show_json.numbers(found))
    else:
        show_stats.show(found)


def tail(
    ctx: typer.Context,
    after: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Begin behind this position; 0 shows all.", show_default="the end"),
    ] = None,
    type: EventTypes = None,
    job: OfJob = None,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Follow the ledger: show each event as it comes, until Ctrl-C. With --json, one object a line."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from ...projections.audit.filters import Filters
    from . import reading, show_tail

    types = list(Filters.of({"type": type or None}).type or ()) or None
    reading.run(settings, lambda reader: show_tail.follow(reader.follow(after, types, job), json=json), shows=True)


def replay(
    ctx: typer.Context,
    job: Job,
    speed: Annotated[float, typer.Option(min=0, max=1e6, metavar="N", help="So many times as fast; 0: at once.")] = 1.0,
    from_version: Annotated[
        int, typer.Option("--from", min=1, metavar="N", help="Begin with the N-th event of the execution.")
    ] = 1,
    by: By = Clock.RECORDED,
    longest_wait: Annotated[
        float | None, typer.Option(min=0.01, metavar="SECONDS", help="Cut longer silences.", show_default=False)
    ] = None,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Play an execution again. At a terminal: space pauses, arrows step, + and - change the speed, q ends it."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from . import reading, show_replay

    how = reading.Playing(speed or None, from_version, by.value, longest_wait)

    async def play(reader: reading.Reader) -> None:
        await show_replay.play(await reader.player(job, how), json=json)

    reading.run(settings, play, shows=True)
