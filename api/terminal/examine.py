"""What `doctor` looks at: each finding says what is well, or what is wrong and what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, func, select, text

from ...domain import LedgerError
from ...infrastructure import Settings
from ...infrastructure.database_errors import translated
from ...infrastructure.tables import execution_leases, ledgers
from ...infrastructure.webhooks import list_endpoints
from ...projections import ProjectionControl, ProjectionStatus
from ..runtime import PROJECTIONS, sqlite_file
from . import show_json
from .answers import Finding, Findings
from .progress import waiting
from .show_text import GAP, clean, count, make_console

_SLOW = 0.5
"""Seconds: a database that answers a trifle later than this is far away or busy."""
_SKEW = 2.0
_ROOMY = 70
"""Columns from which on a finding stands beside its subject."""
_BEHIND = 10_000
"""Events that a projection may be behind before somebody should know."""


def examine_and_show(settings: Settings, *, json: bool) -> int:
    """A line for each finding; 1 where something is wrong."""
    with waiting("examine"):
        findings = asyncio.run(_examine_service(settings)) if settings.url is not None else list(_examine(settings))
    if json:
        show_json.show(Findings(findings))
    else:
        _show(findings)
    return 1 if any(finding.verdict == "wrong" for finding in findings) else 0


def _show(findings: list[Finding]) -> None:
    console = make_console()
    signs = {"well": ("✔", "green"), "warning": ("!", "yellow"), "wrong": ("✘", "red")}
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(no_wrap=True)
    if roomy := console.width >= _ROOMY:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        sign, style = signs[finding.verdict]
        told = Text(clean(finding.told))
        if finding.remedy:
            told.append(f"\n{finding.remedy}", "italic")
        said = [finding.subject, told] if roomy else [Text.assemble(finding.subject, "\n", told)]
        table.add_row(Text("*" if console.options.ascii_only else sign, style), *said)
    console.print(table)


def _examine(settings: Settings) -> Iterator[Finding]:
    yield _python()
    from .opened import opened

    try:
        began = time.monotonic()
        with translated(), opened(settings) as engine, engine.connect() as connection:
            took = time.monotonic() - began
            yield Finding("database", "well", f"{engine.dialect.name} answers, its schema is that of this version")
            if took > _SLOW:
                yield Finding("database", "warning", f"it took {took:.1f} s to answer", "Is it far away, or busy?")
            yield from _server(connection) if engine.dialect.name == "postgresql" else _file(connection, settings)
            yield from _ledger(connection, settings.ledger)
            yield from _leases(connection)
            yield from _webhooks(connection, settings.ledger)
            connection.rollback()
            yield from _projections(ProjectionControl(engine, PROJECTIONS).statuses(settings.ledger))
    except LedgerError as error:
        yield _failed("database", "wrong", error, "Mend that, or restore it from a backup.")


def _failed(subject: str, verdict: Literal["warning", "wrong"], error: LedgerError, otherwise: str) -> Finding:
    """What an error tells, apart from the remedy that it ends with; `otherwise` where it knows none."""
    template = (type(error).__doc__ or "").partition(". ")[2]
    remedy = error.details.get("remedy") or template.format_map(defaultdict(str, error.details))
    told = str(error)
    if not remedy or not told.endswith(remedy):
        return Finding(subject, verdict, told, error.details.get("remedy") or otherwise)
    return Finding(subject, verdict, told.removesuffix(remedy).rstrip(" ."), remedy)


def _python() -> Finding:
    return Finding("python", "well", f"{platform.python_version()} on {platform.system()}")


def _server(connection: Connection) -> Iterator[Finding]:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        value = connection.execute(text(f"SHOW {setting}")).scalar_one()
        if value == "off":
            remedy = f"Set {setting} = on: without it, a crash takes events that were acknowledged."
            yield Finding("durability", "wrong", f"{setting} is {value}", remedy)
        else:
            yield Finding("durability", "well", f"{setting} is {value}")
    oldest = connection.execute(
        text(
            "SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    ).scalar()
    if oldest is not None and oldest > 60:
        remedy = "It keeps old versions of rows alive, and writes get slower: see docs/operating.md."
        yield Finding("transactions", "warning", f"one has been open for {oldest:.0f} s", remedy)
    theirs = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    skew = abs((theirs - datetime.now(UTC)).total_seconds())
    if skew > _SKEW:
        yield Finding("clock", "warning", f"the server's differs from ours by {skew:.1f} s", "Keep both in step (NTP).")
    else:
        yield Finding("clock", "well", "the server's and ours agree")


def _file(connection: Connection, settings: Settings) -> Iterator[Finding]:
    file = sqlite_file(settings.database_url)
    if file is not None and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        yield Finding("file", "wrong", f"{file} may not be written", "Let this user write to it and to its folder.")
    mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
    well = mode.lower() == "wal"
    remedy = None if well else "Copy it to a disk of this machine: network file systems allow no WAL."
    yield Finding("durability", "well" if well else "wrong", f"journal_mode is {mode}", remedy)
    problem = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    if problem != "ok":
        yield Finding("file", "wrong", f"it is damaged: {problem}", "Restore it from a backup.")
    else:
        yield Finding("file", "well", "every page of it can be read")


def _ledger(connection: Connection, name: str) -> Iterator[Finding]:
    head = ledgers.c
    size = connection.execute(select(head.size).where(head.ledger_id == name)).scalar()
    others = connection.execute(select(func.count()).select_from(ledgers).where(head.ledger_id != name)).scalar_one()
    yield _size(
        name, size or 0, f"the database has {count(others, 'other ledger')}" if others else "nothing is recorded yet"
    )


def _size(ledger: str, size: int, known: str) -> Finding:
    if size:
        return Finding("ledger", "well", f"{ledger!r} has {count(size, 'event')}")
    return Finding("ledger", "warning", f"{ledger!r} is empty; {known}", "Is --ledger the one you mean?")


def _leases(connection: Connection) -> Iterator[Finding]:
    late = connection.execute(
        select(func.count()).select_from(execution_leases).where(execution_leases.c.expires_at < datetime.now(UTC))
    ).scalar_one()
    if late:
        remedy = "Nobody reaps: run `execution-ledger serve`, or `execution-ledger reap`."
        yield Finding("leases", "warning", f"{count(late, 'run')} lost their worker and were not ended", remedy)
    else:
        yield Finding("leases", "well", "no run has lost its worker")


def _webhooks(connection: Connection, ledger: str) -> Iterator[Finding]:
    for each in list_endpoints(connection, ledger):
        name = f"webhook {each.endpoint_id}"
        if not each.enabled:
            remedy = "`execution-ledger webhooks enable` goes on where it was."
            yield Finding(name, "warning", f"is off: {each.disabled_reason}", remedy)
        elif each.failures:
            told = f"failed {count(each.failures, 'time')} in a row: {each.last_error}"
            yield Finding(name, "warning", told, "Is the receiver up? `execution-ledger webhooks test` asks it.")
        elif each.dead_letters:
            remedy = "`execution-ledger webhooks dead` shows them, `webhooks replay` sends them again."
            yield Finding(name, "warning", f"did not take {count(each.dead_letters, 'event')}", remedy)
        else:
            yield Finding(name, "well", f"{count(each.lag, 'event')} behind")


def _projections(statuses: Sequence[ProjectionStatus]) -> Iterator[Finding]:
    for status in statuses:
        name = f"projection {status.projection}"
        if status.stopped:
            remedy = f"Mend what it failed of, then `execution-ledger projections --retry {status.projection}`."
            yield Finding(name, "wrong", f"stopped at {status.failed_position}: {status.error}", remedy)
        elif status.lag > _BEHIND:
            remedy = "Is `execution-ledger serve` running? It keeps them up to date."
            yield Finding(name, "warning", f"{count(status.lag, 'event')} behind", remedy)
        else:
            yield Finding(name, "well", f"{count(status.lag, 'event')} behind")


async def _examine_service(settings: Settings) -> list[Finding]:
    return [_python(), *[finding async for finding in _service(settings)]]


async def _service(settings: Settings) -> AsyncIterator[Finding]:
    from .service_reader import open_client

    try:
        async with open_client(settings) as client:
            began = time.monotonic()
            summary = await client.summary()
            took = time.monotonic() - began
            yield Finding("service", "well", f"{settings.url} answers in {took * 1000:.0f} ms")
            yield _size(summary.ledger, summary.size, "nothing is recorded yet")
            try:
                statuses = await client.projections()
            except LedgerError as error:
                yield _failed("projections", "warning", error, "Ask with a key of the scope admin to see them.")
                return
            for finding in _projections(statuses):
                yield finding
    except LedgerError as error:
        yield _failed("service", "wrong", error, "Check the address, and look into the service's log.")
