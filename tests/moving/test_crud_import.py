"""A table that was changed in place becomes a ledger: ids, times and all; again and again, and nothing twice."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from moving.conftest import Source
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput, StoreUnavailable
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, compute_root, create_sync_engine
from execution_ledger.infrastructure.moving import ColumnMapping, CrudImport, CrudTable, ImportReport, RowReport
from execution_ledger.infrastructure.tables import (
    ExecutionHistory,
    crud_imports,
    execution_events,
    execution_streams,
    ledgers,
)
from execution_ledger.projections import ReplayQueries, verify
from support import Database
from support.writers import update as update_command

BEGIN = datetime(2025, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


ROWS: list[dict[str, Any]] = [
    {"id": 3, "job_id": "a", "status": "COMPLETED", "created_at": at(0), "completed_at": at(60),
     "inputs": {"n": [1, None, "ü"]}, "result": {"rows": 3}, "run_name": "nightly", "message": "done"},
    {"id": 4, "job_id": "b", "status": "Failed", "created_at": at(1), "completed_at": at(2), "error": "it broke"},
    {"id": 7, "job_id": "c", "status": "running", "created_at": at(2)},
    {"id": 9, "job_id": "d", "status": "pending", "created_at": at(3)},
]  # fmt: skip


def bring_in(
    engine: Engine, table: CrudTable, *, dry_run: bool = False, ledger: str = "default", **options: Any
) -> tuple[ImportReport, list[RowReport]]:
    told: list[RowReport] = []
    with table:
        mapping = ColumnMapping(table.columns, **options)
        crud_import = CrudImport(engine, table, mapping, actor="mover", ledger=ledger)
        return crud_import.run(dry_run=dry_run, on_row=told.append), told


def history(engine: Engine) -> dict[int, Any]:
    with engine.connect() as connection:
        rows = connection.execute(select(ExecutionHistory.__table__)).mappings()
        return {row["id"]: row for row in rows}


def events(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(execution_events).order_by(execution_events.c.position)))


def test_rows_become_executions_with_their_ids_and_times(source: Source, target: Engine) -> None:
    source.create()
    source.add(*ROWS)
    report, told = bring_in(target, source.table())
    assert (report.rows, report.imported, report.refused) == (4, 4, 0)
    assert told == [RowReport("assumed", 7, "started_at was not set, so created_at stands for it")]
    found = history(target)
    assert list(found) == [3, 4, 7, 9]
    exact = 0 if source.url.startswith("mysql") else 123456  # MariaDB's DATETIME has whole seconds
    for row in ROWS:
        got = found[row["id"]]
        assert got["status"] == row["status"].lower()
        for name in ("job_id", "inputs", "result", "error", "message", "run_name"):
            assert got[name] == row.get(name), name
        for name in ("created_at", "completed_at"):
            expected = row.get(name)
            assert got[name] == (expected and expected.replace(microsecond=exact)), name
    assert list(verify(target)) == []
    genesis = events(target)[0]
    assert (genesis.type, genesis.actor, genesis.reason) == (
        "execution.created", "mover", "imported from executionhistory",
    )  # fmt: skip
    assert (genesis.causation_id, genesis.occurred_at) == ("executionhistory/3", at(60).replace(microsecond=exact))


def test_an_import_that_is_run_again_brings_in_nothing_twice(source: Source, target: Engine) -> None:
    source.create()
    source.add(*ROWS)
    bring_in(target, source.table())
    before = events(target)
    report, told = bring_in(target, source.table())
    assert (report.unchanged, told) == (4, [])
    assert events(target) == before


async def test_what_is_new_or_has_changed_since_is_brought_in(
    crud: Source, target: Engine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    crud.create()
    crud.add(*ROWS)
    bring_in(target, crud.table())
    crud.update(7, status="completed", completed_at=at(70), result={"rows": 1})
    crud.update(4, status="running", completed_at=None, error=None)
    crud.update(9, status="running")
    crud.add({"id": 12, "job_id": "e", "status": "pending", "created_at": at(80)})
    async with sessions() as session:
        await ExecutionRepository(session).update_execution(9, {"message": "the ledger's own news"})
    report, told = bring_in(target, crud.table())
    assert (report.imported, report.corrected, report.unchanged, report.went_on) == (1, 2, 1, 1)
    assert [(each.kind, each.id) for each in told if each.kind == "went_on"] == [("went_on", 9)]
    found = history(target)
    assert (found[7]["status"], found[7]["result"], found[7]["completed_at"]) == ("completed", {"rows": 1}, at(70))
    assert (found[4]["status"], found[4]["error"], found[4]["completed_at"]) == ("running", None, None)
    assert (found[9]["status"], found[9]["message"]) == ("pending", "the ledger's own news")
    correction = events(target)[-2]
    assert (correction.type, correction.causation_id) == ("execution.corrected", "executionhistory/7")
    assert correction.reason.startswith("imported again, since it had changed, from executionhistory")
    assert list(verify(target)) == []
    with crud.table() as table:
        again = CrudImport(target, table, ColumnMapping(table.columns), prefer_table=True).run()
    assert (again.corrected, again.unchanged) == (1, 4)
    assert history(target)[9]["status"] == "running"


async def test_the_ledger_goes_on_behind_the_highest_number(
    crud: Source, target: Engine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    crud.create()
    crud.add(*ROWS)
    bring_in(target, crud.table())
    async with sessions() as session:
        runs = ExecutionRepository(session)
        new = await runs.create_execution({"job_id": "new"})
        assert new.id == 10
        done = await runs.mark_execution_completed(7, {"rows": 2})
        assert done is not None
        assert done.status == "completed"
        page, total = await runs.get_execution_history(limit=2)
        assert ([each.id for each in page], total) == ([10, 9], 5)
        timeline = await ReplayQueries(session).timeline("a")
        assert timeline is not None
        assert [(span.status, span.started_at) for span in timeline.statuses] == [
            ("pending", at(0)), ("completed", at(60)),
        ]  # fmt: skip
    assert list(verify(target)) == []


def test_a_source_with_large_rows_takes_little_memory(crud: Source, target: Engine) -> None:
    crud.create()
    crud.add_many(
        [{"id": n, "job_id": f"job-{n}", "status": "pending", "created_at": at(n), "message": "x" * 1_000_000}
         for n in range(1, 61)]
    )  # fmt: skip
    tracemalloc.start()
    assert bring_in(target, crud.table())[0].imported == 60
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50 * 2**20, "less than all of it"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"status": "weird"}, "status: 'weird' is not a status"),
    ({"status": "running", "completed_at": at(3)}, "completed_at: is set while the row is running"),
    ({"job_id": "x" * 300}, "job_id: has 300 characters"),
    ({"job_id": ""}, "job_id: is empty"),
    ({"job_id": None}, "job_id: is missing"),
    ({"status": None}, "status: is missing"),
]


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("dry_run", [True, False])
def test_rows_that_cannot_be_mapped_are_told_and_left_out(crud: Source, target: Engine, dry_run: bool) -> None:
    crud.create()
    crud.add(*ROWS)
    for number, (values, _) in enumerate(BAD, 20):
        crud.add({"id": number, "job_id": f"job-{number}", "status": "pending", "created_at": at(9)} | values)
    report, told = bring_in(target, crud.table(), dry_run=dry_run)
    assert (report.rows, report.imported, report.refused) == (10, 4, 6)
    refused = {each.id: each.problem for each in told if each.kind == "refused"}
    for number, (_, problem) in enumerate(BAD, 20):
        assert refused[number].startswith(problem)
    assert len(history(target)) == (0 if dry_run else 4)
    if dry_run:
        with target.connect() as connection:
            assert not connection.execute(select(ledgers)).all()
            assert not connection.execute(select(crud_imports)).all()


OTHER = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, uuid VARCHAR(36), state VARCHAR(20), params TEXT, begun VARCHAR(40), ended VARCHAR(40),
    cost DECIMAL(10, 2), owner VARCHAR(50), secret VARCHAR(50)
)
"""


def test_names_statuses_and_zones_are_mapped(source: Source, target: Engine) -> None:
    source.create(OTHER)
    source.execute(
        "INSERT INTO runs VALUES (5, 'u-1', 'SUCCESS', '{\"day\": \"monday\"}', '2025-07-01 10:00:00', "
        "'2025-07-01 10:00:05', 12.50, 'ada', 'hidden'), (6, 'u-2', 'ABORTED', 'no json', '2025-07-01 11:00:00', NULL, "
        "NULL, NULL, NULL)"
    )
    table = source.table("runs", id_column="number")
    mapping: dict[str, Any] = {
        "id_column": "number",
        "fields": {
            "job_id": "uuid",
            "status": "state",
            "inputs": "params",
            "created_at": "begun",
            "completed_at": "ended",
            "group_email": "owner",
        },
        "statuses": {"success": "completed", "Aborted": "cancelled"},
        "ignore": ("secret",),
        "zone": ZoneInfo("Europe/Berlin"),
    }
    report, told = bring_in(target, table, **mapping)
    assert (report.imported, report.refused) == (2, 0)
    first, second = history(target).values()
    assert first["inputs"] == {"day": "monday"}
    assert second["inputs"] == "no json"
    assert (first["id"], first["job_id"], first["status"], first["group_email"]) == (5, "u-1", "completed", "ada")
    assert first["created_at"] == datetime(2025, 7, 1, 8, tzinfo=UTC)
    assert float(first["attributes"]["cost"]) == 12.5
    assert "secret" not in first["attributes"]
    assert second["status"] == "cancelled"
    assert second["completed_at"] == second["created_at"] == datetime(2025, 7, 1, 9, tzinfo=UTC)
    assert told == [RowReport("assumed", 6, "completed_at was not set, so created_at stands for it")]
    assert events(target)[1].reason == ("imported from runs; completed_at was not set, so created_at stands for it")


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_key_that_two_rows_have_is_the_first_ones(crud: Source, target: Engine, dry_run: bool) -> None:
    crud.create("CREATE TABLE executionhistory (id INTEGER PRIMARY KEY, job_id TEXT, status TEXT, created_at TEXT)")
    rows = ", ".join(f"({n}, 'job-{n % 1100}', 'pending', '2025-01-01')" for n in range(1, 1501))
    crud.execute(f"INSERT INTO executionhistory VALUES {rows}")
    report, told = bring_in(target, crud.table(), dry_run=dry_run)
    assert (report.imported, report.refused) == (1100, 400)
    assert told[0] == RowReport(
        "refused",
        1101,
        "job_id 'job-1' is taken in ledger 'default'. Choose another one: a job_id is never used again.",
    )


async def test_a_number_that_the_ledger_gave_already_is_refused(
    crud: Source, target: Engine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    crud.create()
    crud.add(*ROWS)
    async with sessions() as session:
        for number in range(3):
            await ExecutionRepository(session).create_execution({"job_id": f"own-{number}"})
    report, told = bring_in(target, crud.table())
    assert (report.imported, report.refused) == (3, 1)
    assert told[0].problem.startswith("id: 3 is that of execution 'own-2' in ledger 'default'.")
    assert list(verify(target)) == []


def test_a_cell_that_no_driver_reads_costs_only_its_row(source: Source, target: Engine) -> None:
    source.create("CREATE TABLE executionhistory (id INTEGER PRIMARY KEY, job_id VARCHAR(50), status VARCHAR(50), "
                  "created_at TIMESTAMP NULL, inputs JSON)")  # fmt: skip
    odd = {"sqlite": "'n/a'", "postgresql": "'infinity'", "mysql": "NULL"}[source.engine.dialect.name]
    rows = ", ".join(f"({n}, 'job-{n}', 'pending', {odd if n == 700 else repr('2026-01-01 08:00:00')}, '\"12\"')"
                     for n in range(1, 1201))  # fmt: skip
    source.execute(f"INSERT INTO executionhistory VALUES {rows}")
    with source.table() as table:
        mapping = ColumnMapping(table.columns, decoded=table.decoded, in_utc=table.in_utc, zone=ZoneInfo("Asia/Tokyo"))
        told: list[RowReport] = []
        report = CrudImport(target, table, mapping).run(on_row=told.append)
    assert (report.rows, report.imported, report.refused) == (1200, 1199, 1)
    assert [each.id for each in told] == [700]
    first = history(target)[1]
    assert first["inputs"] == "12"
    in_utc = source.engine.dialect.name == "mysql"  # whose TIMESTAMP is
    assert first["created_at"] == datetime(2026, 1, 1, 8, tzinfo=UTC) - timedelta(hours=0 if in_utc else 9)


@pytest.mark.store("sqlite")
def test_a_column_of_numbers_that_does_not_tell_rows_apart_is_refused(crud: Source) -> None:
    crud.create("CREATE TABLE runs (number INTEGER, job_id TEXT, status TEXT)")
    crud.execute("INSERT INTO runs VALUES (1, 'a', 'pending'), (1, 'b', 'pending')")
    with pytest.raises(InvalidInput, match="'number' of runs is NULL in some rows, or the same in several"):
        crud.table("runs", id_column="number")
    crud.execute("UPDATE runs SET number = NULL WHERE job_id = 'b'")
    with pytest.raises(InvalidInput, match="is NULL in some rows"):
        crud.table("runs", id_column="number")


@pytest.mark.store("sqlite")
def test_an_odd_value_is_told_with_its_field(crud: Source, target: Engine) -> None:
    crud.create("CREATE TABLE executionhistory (id BIGINT PRIMARY KEY, job_id TEXT, status TEXT, created_at TEXT, "
                "attempt TEXT, progress TEXT)")  # fmt: skip
    crud.execute(
        "INSERT INTO executionhistory VALUES (1, 'a', 'pending', '2026-01-01', 'first', NULL), "
        "(2, 'b', 'pending', '2026-01-01', NULL, 'half'), (3, 'c', 'pending', 'yesterday', NULL, NULL), "
        "(0, 'd', 'pending', '2026-01-01', NULL, NULL), (9223372036854775807, 'e', 'pending', '2026-01-01', NULL, NULL)"
    )
    report, told = bring_in(target, crud.table())
    assert (report.imported, report.refused) == (0, 5)
    assert [each.problem.partition(". ")[0] for each in told] == [
        "id: 0 is not such a number",
        "attempt: 'first' is no number",
        "progress: 'half' is no number",
        "created_at: 'yesterday' is no time",
        "id: 9223372036854775807 is not such a number",
    ]


@pytest.mark.store("sqlite")
def test_a_time_that_clocks_showed_twice_is_told(crud: Source, target: Engine) -> None:
    crud.create("CREATE TABLE executionhistory (id INTEGER PRIMARY KEY, job_id TEXT, status TEXT, created_at TEXT)")
    crud.execute("INSERT INTO executionhistory VALUES (1, 'a', 'pending', '2025-10-26 02:50:00')")
    report, told = bring_in(target, crud.table(), zone=ZoneInfo("Europe/Berlin"))
    assert report.assumed == 1
    assert told[0].problem == (
        "created_at is a time that clocks in Europe/Berlin showed twice, or never: the first is taken"
    )
    assert history(target)[1]["created_at"] == datetime(2025, 10, 26, 0, 50, tzinfo=UTC)


def test_what_changed_while_an_import_was_cut_short_is_brought_in_too(crud: Source, target: Engine) -> None:
    many(crud)

    def stop(report: ImportReport) -> None:
        if report.rows == 2_000:
            raise KeyboardInterrupt

    with crud.table() as table, pytest.raises(KeyboardInterrupt):
        CrudImport(target, table, ColumnMapping(table.columns)).run(on_progress=stop)
    crud.update(14, status="failed", error="it broke after all")
    crud.add({"id": 15, "job_id": "late", "status": "pending", "created_at": at(9)})
    report, _ = bring_in(target, crud.table())
    assert (report.rows, report.imported, report.corrected, report.unchanged) == (3_501, 1_501, 1, 1_999)
    assert history(target)[14]["error"] == "it broke after all"
    assert history(target)[15]["job_id"] == "late"


@pytest.mark.store("postgresql")
def test_an_import_goes_on_beside_others_who_write(crud: Source, target: Engine, database: Database) -> None:
    """They lock streams before the head, as the import does."""
    many(crud, 400)
    bring_in(target, crud.table())
    crud.execute("UPDATE executionhistory SET message = 'changed'")
    over = threading.Event()

    async def write() -> None:
        async with GroupWriter(database.url) as writer:
            numbers = itertools.cycle(range(2, 802, 2))
            while not over.is_set():
                await writer.execute_together([update_command(next(numbers), message=str(n)) for n in range(20)])

    threads = [threading.Thread(target=lambda: asyncio.run(write())) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with crud.table() as table:
            for _ in range(5):
                report = CrudImport(target, table, ColumnMapping(table.columns), prefer_table=True).run()
                assert report.rows == 400
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert list(verify(target)) == []


def many(crud: Source, number: int = 3_500) -> None:
    crud.create()
    crud.add_many(
        [{"id": n * 2, "job_id": f"job-{n}", "status": "completed", "created_at": at(n), "completed_at": at(n + 5)}
         for n in range(1, number + 1)]
    )  # fmt: skip


def test_an_import_that_is_cut_short_gives_the_same_root_when_it_is_run_again(
    crud: Source, target: Engine, tmp_path: Any, sqlite_template: Any
) -> None:
    many(crud)

    def stop(report: ImportReport) -> None:
        if report.rows == 2_000:
            raise KeyboardInterrupt

    with crud.table() as table, pytest.raises(KeyboardInterrupt):
        CrudImport(target, table, ColumnMapping(table.columns), actor="mover").run(on_progress=stop)
    assert len(history(target)) == 2_000
    with target.connect() as connection:
        plan = connection.execute(select(crud_imports)).mappings().one()
    # The same import elsewhere, not cut short: it has the same beginning and the same key of salts.
    whole = create_sync_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'whole.db')}")
    with whole.begin() as connection:
        connection.execute(insert(crud_imports), dict(plan) | {"done_id": None})
    assert bring_in(whole, crud.table())[0].imported == 3_500
    assert bring_in(target, crud.table())[0].imported == 1_500
    roots = []
    for engine in (target, whole):
        with engine.connect() as connection:
            roots.append(compute_root(connection, "default").root)
            left = connection.execute(select(crud_imports)).mappings().one()
            assert (left["salt_key"], left["done_id"]) == (None, 7_000)
    assert roots[0] == roots[1]
    assert list(verify(target)) == []
    whole.dispose()


def test_a_number_that_an_import_gave_is_part_of_the_proof(crud: Source, target: Engine) -> None:
    crud.create()
    crud.add(*ROWS)
    bring_in(target, crud.table())
    with target.begin() as connection:
        other: Any = ExecutionHistory.__table__
        connection.execute(update(other).where(other.c.id == 7).values(id=99))
        connection.execute(update(execution_streams).where(execution_streams.c.id == 7).values(id=99))
        connection.execute(update(ledgers).values(last_id=99))
    assert [(each.table, each.column, each.expected, each.found) for each in verify(target)] == [
        ("execution_streams", "id", 7, 99)
    ]


@pytest.mark.store("sqlite")
def test_what_cannot_be_read_is_told_with_the_remedy(crud: Source, target: Engine, tmp_path: Any) -> None:
    crud.create()
    crud.execute("CREATE TABLE texts (id TEXT PRIMARY KEY, job_id TEXT)")
    crud.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, name TEXT)")
    with pytest.raises(InvalidInput, match=r"there is no 'nowhere'\. There are: bare, executionhistory, texts"):
        crud.table("nowhere")
    with pytest.raises(InvalidInput, match="'id' of texts is TEXT and no whole number"):
        crud.table("texts")
    with pytest.raises(InvalidInput, match="has no column 'number'"):
        crud.table("bare", id_column="number")
    with pytest.raises(InvalidInput, match=r"no column is named so.*--map job_id=COLUMN"):
        bring_in(target, crud.table("bare"))
    with pytest.raises(InvalidInput, match="there is no column 'nam'"):
        bring_in(target, crud.table("bare"), fields={"job_id": "nam"})
    with pytest.raises(InvalidInput, match="'jobid' is no field"):
        bring_in(target, crud.table("bare"), fields={"jobid": "name"})
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        CrudTable(f"sqlite:///{tmp_path}/nowhere.db", "executionhistory")
    assert not (tmp_path / "nowhere.db").exists()
    with pytest.raises(InvalidInput, match=r"oracle needs|is no database that SQLAlchemy knows"):
        CrudTable("oracle://x/y", "executionhistory")
