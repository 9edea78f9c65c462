"""What `import crud` does: its options to a mapping, rows that somebody should look at to lines, and a summary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.text import Text
from sqlalchemy import Engine
from sqlalchemy.pool import StaticPool

from ...domain import InvalidInput, SchemaNotReady
from ...infrastructure import Settings, create_schema, create_sync_engine
from ...infrastructure.moving import ColumnMapping, CrudImport, CrudTable, ImportReport, RowReport
from . import answers, show_json
from .errors import UsageProblem
from .options import actor_of
from .progress import make_progress, waiting
from .show_text import count, line, make_console

_COLORS = {"refused": "red", "went_on": "yellow", "assumed": "dim"}
_WORDS = {"refused": "refused", "went_on": "not imported again", "assumed": "assumed"}


class CrudOptions(NamedTuple):
    """As they were given."""

    url: str
    table: str
    map: list[str]
    statuses: list[str]
    ignore: tuple[str, ...]
    time_zone: str
    prefer_table: bool
    dry_run: bool
    json: bool


def import_crud(settings: Settings, options: CrudOptions) -> int:
    """Import, and tell of it; 1 where a row was refused."""
    fields, statuses = _pairs("--map", options.map), _pairs("--status", options.statuses)
    zone = _zone(options.time_zone)
    id_column = fields.pop("id", "id")
    console = make_console()
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    def tell(row: RowReport) -> None:
        if options.json:
            show_json.show_line(answers.CrudRow(kind=row.kind, id=row.id, problem=row.problem))
        else:
            told = f"{options.table} {row.id}: {_WORDS[row.kind]}: {line(row.problem)}"
            console.print(Text(told, _COLORS[row.kind]), soft_wrap=True)

    with waiting("open"):
        source = _source(options, id_column)
    with source as table:
        mapping = ColumnMapping(
            table.columns,
            id_column=id_column,
            fields=fields,
            ignore=options.ignore,
            statuses=statuses,
            zone=zone,
            decoded=table.decoded,
            in_utc=table.in_utc,
        )
        with _ledger(settings, options) as engine, make_progress(*columns) as bar:
            task = bar.add_task("", total=table.count())
            crud_import = CrudImport(
                engine,
                table,
                mapping,
                ledger=settings.ledger,
                actor=actor_of(settings),
                prefer_table=options.prefer_table,
                limits=settings.limits,
            )
            report = crud_import.run(
                dry_run=options.dry_run,
                on_row=tell,
                on_progress=lambda report: bar.update(task, completed=report.rows),
            )
        if options.json:
            show_json.show_line(answers.ImportedRows(kind="summary", dry_run=options.dry_run, **_plain(report)))
        else:
            _summarize(report, mapping, options)
    return 1 if report.refused else 0


def _source(options: CrudOptions, id_column: str) -> CrudTable:
    try:
        return CrudTable(options.url, options.table, id_column=id_column)
    except InvalidInput as error:
        if error.field == "database_url":  # which is not that of --database
            raise UsageProblem("URL", error.problem, error.remedy) from error
        raise


@contextmanager
def _ledger(settings: Settings, options: CrudOptions) -> Iterator[Engine]:
    """The ledger's database; for a dry run where there is none yet, an empty one in memory."""
    from ..runtime import NothingRecorded, engine_for_threads
    from .opened import prepare

    try:
        with waiting("open"):
            prepare(settings, create=not options.dry_run)
    except (NothingRecorded, SchemaNotReady):
        if not options.dry_run:
            raise
        engine = create_sync_engine("sqlite://", poolclass=StaticPool)
        create_schema(engine)
        yield engine
        engine.dispose()
        return
    with engine_for_threads(settings) as engine:
        yield engine


def _plain(report: ImportReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in ImportReport.__slots__}


def _summarize(report: ImportReport, mapping: ColumnMapping, options: CrudOptions) -> None:
    console = make_console(stderr=True)
    done = "would be imported" if options.dry_run else "imported"
    parts = [f"{count(report.imported, 'row')} of {report.rows:,} {done}"]
    for number, what in (
        (report.corrected, "corrected, since they had changed"),
        (report.unchanged, "there already"),
        (report.went_on, "not imported again: the ledger has later news"),
        (report.assumed, "with a time that was assumed"),
        (report.refused, "refused"),
    ):
        if number:
            parts.append(f"{number:,} {what}")
    if mapping.attributes:
        parts.append(f"kept as attributes: {', '.join(mapping.attributes)}")
    console.print(Text(line("; ".join(parts)), "yellow" if report.refused else "green"), soft_wrap=True)


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    pairs = {}
    for each in given:
        name, sign, value = each.partition("=")
        if not (name and sign and value):
            raise UsageProblem(option, f"{each!r} is no NAME=NAME", "See --help.")
        pairs[name.strip()] = value.strip()
    return pairs


def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC  # a machine may have no list of zones
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageProblem("--time-zone", f"{name!r} is no zone", "Use a name as Europe/Berlin.") from error
