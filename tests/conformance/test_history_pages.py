"""Pages of the history: filters, totals, and cursors that agree with offsets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from execution_ledger.domain import InvalidInput
from execution_ledger.infrastructure import ExecutionRepository
from support import Database

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

about_reads = pytest.mark.parametrize("door", ["session"], indirect=True)
"""How the rows were written does not matter."""


async def fill(repository: ExecutionRepository, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        await repository.create(row)


async def found(repository: ExecutionRepository, **filters: Any) -> list[str]:
    """The job ids of one page, checked against the total and against the page by cursor."""
    executions, total = await repository.get_execution_history(**filters)
    page = await repository.get_execution_page(**filters)
    assert total == len(executions)
    assert [each.id for each in page.executions] == [each.id for each in executions]
    assert page.next_cursor is None
    return sorted(each.job_id for each in executions)


async def test_one_status_or_several_in_any_case_narrow_the_page(repository: ExecutionRepository) -> None:
    statuses = ["pending", "running", "running", "failed", "stopped"]
    await fill(repository, ({"job_id": f"{at}", "status": status} for at, status in enumerate(statuses)))

    class Theirs(Enum):
        RUNNING = "RUNNING"

    assert await found(repository, status="running") == ["1", "2"]
    assert await found(repository, status="RUNNING") == ["1", "2"]
    assert await found(repository, status=Theirs.RUNNING) == ["1", "2"]
    assert await found(repository, status=["Failed", "stopped", "failed"]) == ["3", "4"]
    assert await found(repository, status={"pending"}) == ["0"]
    executions, total = await repository.get_execution_history(status=(each for each in ("pending", "failed")))
    assert ([each.job_id for each in executions], total) == (["3", "0"], 2)
    assert await found(repository, status="cancelled") == []
    assert await found(repository, status=None) == ["0", "1", "2", "3", "4"]


async def test_totals_follow_the_filter_and_not_the_page(repository: ExecutionRepository) -> None:
    await fill(repository, ({"status": "running" if at % 3 else "failed", "run_name": f"r{at % 2}"} for at in range(9)))
    totals = [
        (await repository.get_execution_history(limit=1, **filters))[1]
        for filters in ({}, {"status": "running"}, {"status": ["running", "failed"]}, {"run_name_prefix": "r1"})
    ]
    assert totals == [9, 6, 9, 4]
    await repository.delete(1)
    await repository.update_execution(2, {"status": "failed"})
    assert (await repository.get_execution_history(limit=1))[1] == 8
    assert (await repository.get_execution_history(limit=1, status="failed"))[1] == 3


async def test_created_from_is_inclusive_and_created_before_is_not(repository: ExecutionRepository) -> None:
    times = [NOON, NOON + timedelta(microseconds=1), NOON + timedelta(hours=1)]
    await fill(repository, ({"job_id": f"{at}", "created_at": time} for at, time in enumerate(times)))
    assert await found(repository, created_from=NOON) == ["0", "1", "2"]
    assert await found(repository, created_from=times[1], created_before=times[2]) == ["1"]
    assert await found(repository, created_before=NOON) == []
    assert await found(repository, created_from="2026-01-31T18:45:00+05:45") == ["2"]
    assert await found(repository, created_from=datetime(2026, 1, 31, 13)) == ["2"]


ENDS = [None, NOON, NOON + timedelta(microseconds=1), NOON + timedelta(hours=1), NOON + timedelta(days=30)]
BOUNDS = [None, NOON - timedelta(hours=1), *(end for end in ENDS if end is not None)]


async def ended(repository: ExecutionRepository) -> list[dict[str, Any]]:
    """Runs of every length, in every status there may be at their end, and what is under way."""
    rows = [
        {"created_at": created, "completed_at": end, "status": "running" if end is None else status}
        for (created, end), status in zip(
            itertools.product([NOON - timedelta(days=9), NOON, NOON + timedelta(hours=1)], ENDS),
            itertools.cycle(("completed", "failed", "stopped", "rejected", "cancelled")),
            strict=False,
        )
    ]
    for at, row in enumerate(rows):
        row["job_id"] = f"{at:02}"
    await fill(repository, ({k: v for k, v in row.items() if v is not None} for row in rows))
    return rows


@pytest.mark.parametrize("ended_from", BOUNDS)
async def test_runs_are_found_by_when_they_ended(repository: ExecutionRepository, ended_from: datetime | None) -> None:
    rows = await ended(repository)
    for ended_before, created_before in itertools.product(BOUNDS, (None, NOON + timedelta(seconds=1))):
        given = ended_from is not None or ended_before is not None
        expected = [
            row["job_id"]
            for row in rows
            if (created_before is None or row["created_at"] < created_before)
            and (
                not given
                or (
                    row["completed_at"] is not None
                    and (ended_from is None or row["completed_at"] >= ended_from)
                    and (ended_before is None or row["completed_at"] < ended_before)
                )
            )
        ]
        filters = {"ended_from": ended_from, "ended_before": ended_before, "created_before": created_before}
        assert await found(repository, **filters) == expected, filters
        assert await by_cursor(repository, 4, **filters) == await by_offset(repository, 4, **filters)
        failed = [row["job_id"] for row in rows if row["job_id"] in expected and row["status"] == "failed"]
        assert await found(repository, status="failed", **filters) == failed, filters


async def test_a_run_is_found_by_its_end_once_it_ended_and_no_longer_when_that_is_corrected(
    repository: ExecutionRepository,
) -> None:
    await fill(repository, [{"job_id": "late", "created_at": NOON, "status": "running"}])
    begin = datetime.now(UTC)
    assert await found(repository, ended_from=NOON) == []
    await repository.mark_execution_completed(1)
    assert await found(repository, ended_from=begin) == ["late"]
    assert await found(repository, ended_before=begin) == []
    assert await found(repository, ended_from="2026-01-31T17:45+05:45") == ["late"]
    await repository.correct_execution("late", {"completed_at": NOON}, reason="the clock was wrong")
    assert await found(repository, ended_from=begin) == []
    assert await found(repository, ended_before=begin) == ["late"]
    await repository.correct_execution("late", {"status": "running"}, reason="it goes on")
    assert await found(repository, ended_before=datetime.now(UTC)) == []


NAMES = [
    "a", "ab", "abc", "b", "A", "á", "a%c", "a_c", "a\\c", "a'c", "aé", "aéz", "aê", "ﬀ",
    "\ud7ff", "\ue000", "\U0010ffff", "\U0010ffff!",
]  # fmt: skip


@about_reads
@pytest.mark.parametrize("prefix", [*NAMES, "a\ud7ff", "\U0010fffe", "%", "_", "ab%", "zz"])
async def test_a_prefix_is_compared_character_by_character_and_nothing_in_it_is_special(
    repository: ExecutionRepository, prefix: str
) -> None:
    await fill(repository, ({"job_id": name, "run_name": f"run {name}"} for name in NAMES))
    expected = sorted(name for name in NAMES if name.startswith(prefix))
    assert await found(repository, job_id_prefix=prefix) == expected
    assert await found(repository, run_name_prefix="run " + prefix) == expected
    assert await found(repository, prefix="run " + prefix) == expected
    assert await found(repository, prefix=prefix) == expected


async def test_an_empty_prefix_is_no_filter_and_no_run_name_is_no_match(repository: ExecutionRepository) -> None:
    await fill(repository, [{"job_id": "named", "run_name": "x"}, {"job_id": "nameless"}])
    assert await found(repository, run_name_prefix="", job_id_prefix="", prefix="") == ["named", "nameless"]
    assert await found(repository, run_name_prefix="x") == ["named"]


@pytest.mark.parametrize("field", ["run_name", "execution_type"])
async def test_a_name_and_a_type_are_compared_as_a_whole(repository: ExecutionRepository, field: str) -> None:
    await fill(repository, [{"job_id": "none"}, *({"job_id": f"is {each}", field: each} for each in ("x", "xy", "X"))])
    assert await found(repository, **{field: "x"}) == ["is x"]
    assert await found(repository, **{field: ["xy", "X", "z"]}) == ["is X", "is xy"]
    assert await found(repository, **{field: ""}) == ["none"]
    assert await found(repository, **{field: ["", "x"]}) == ["is x", "none"]


async def test_children_are_found_by_their_parent(repository: ExecutionRepository) -> None:
    await fill(repository, [{"job_id": "p"}, *({"job_id": f"c{n}", "parent_job_id": "p"} for n in range(2))])
    assert await found(repository, parent_job_id="p") == ["c0", "c1"]
    assert await found(repository, parent_job_id="c0") == []


VALUES: dict[str, Any] = {
    "text": "red", "empty": "", "one": 1, "float": 1.5, "whole float": 2.0, "zero": 0, "true": True, "false": False,
    "null": None, "number as text": "1", "true as text": "true", "null as text": "null", "big": 2**53 + 1,
    "accent": "é", "quote": "a\"b'c\\d", "list": [1], "object": {"k": 1}, "tiny": 1e-300,
}  # fmt: skip


async def test_attributes_are_found_by_value_and_type(repository: ExecutionRepository) -> None:
    await fill(repository, ({"job_id": name, "attributes": {"k": value, "x": 1}} for name, value in VALUES.items()))
    await fill(repository, [{"job_id": "without"}, {"job_id": "others", "attributes": {"j": "red"}}])
    for name, value in VALUES.items():
        if name not in ("list", "object"):
            assert await found(repository, attributes={"k": value}) == [name], name
    assert await found(repository, attributes={"k": 2}) == ["whole float"]
    assert await found(repository, attributes={"k": "red", "x": 1}) == ["text"]
    assert await found(repository, attributes={"k": "red", "x": 2}) == []
    assert len(await found(repository, attributes={"x": 1})) == len(VALUES)
    assert len(await found(repository, attributes={})) == len(VALUES) + 2


ODD = [
    "k",
    "",
    "a b",
    "a.b",
    "$",
    "[0]",
    "k[0]",
    "é",
    '"',
    'a"b',
    "\\",
    "a\\b",
    "a\\",
    '\\"',
    "'",
    "%",
    ":k",
    "\n",
    "\x01",
]


@about_reads
@pytest.mark.parametrize("name", ODD)
async def test_attributes_are_found_whatever_their_name(repository: ExecutionRepository, name: str) -> None:
    await fill(repository, [{"job_id": "hit", "attributes": {name: 7}}, {"job_id": "miss", "attributes": {"other": 7}}])
    assert await found(repository, attributes={name: 7}) == ["hit"]
    assert await found(repository, attributes={name: 8}) == []


async def test_filters_hold_together(repository: ExecutionRepository) -> None:
    rows = [
        {"job_id": f"{status}{name}{value}", "status": status, "run_name": name, "attributes": {"c": value}}
        for status, name, value in itertools.product(("running", "failed"), "xy", (1, 2))
    ]
    await fill(repository, rows)
    assert await found(repository, status="failed", run_name_prefix="x", attributes={"c": 2}) == ["failedx2"]
    assert await found(repository, status=["failed", "running"], run_name_prefix="y", job_id_prefix="run") == [
        "runningy1",
        "runningy2",
    ]


@pytest.mark.parametrize(
    "filters",
    [
        {"run_name_prefix": "r"}, {"job_id_prefix": "j"}, {"parent_job_id": "p"}, {"attributes": {"k": 1}},
        {"status": ["pending", "running", "failed"]}, {"created_from": NOON}, {"ended_from": NOON}, {},
    ],
)  # fmt: skip
async def test_of_equal_times_the_highest_id_comes_first_whatever_the_filter(
    repository: ExecutionRepository, filters: dict[str, Any]
) -> None:
    same = {
        "run_name": "r", "parent_job_id": "p", "attributes": {"k": 1}, "created_at": NOON, "status": "failed",
        "completed_at": NOON,
    }  # fmt: skip
    await fill(repository, (same | {"job_id": f"j{at * 7 % 10}"} for at in range(10)))
    executions, _ = await repository.get_execution_history(**filters)
    assert [each.id for each in executions] == list(range(10, 0, -1))
    assert await by_cursor(repository, 3, **filters) == await by_offset(repository, 3, **filters)


@about_reads
@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "done"}, {"status": []}, {"status": 5}, {"status": ["running", None]}, {"created_from": "soon"},
        {"created_before": 5}, {"ended_from": "later"}, {"ended_before": 5}, {"run_name_prefix": 5},
        {"run_name": []}, {"run_name": 5}, {"execution_type": ["x", None]},
        {"job_id_prefix": "\x00"}, {"job_id_prefix": "x" * 256},
        {"parent_job_id": 5}, {"attributes": "k"}, {"attributes": {"k": [1]}}, {"attributes": {"k": object()}},
        {"attributes": {1: 1}}, {"attributes": {"k": float("nan")}}, {"limit": -1}, {"limit": "5"}, {"limit": 2**63},
        {"limit": 1.0}, {"limit": True}, {"color": "red"},
    ],
)  # fmt: skip
async def test_a_wrong_filter_is_refused_by_name(repository: ExecutionRepository, wrong: dict[str, Any]) -> None:
    for read in (repository.get_execution_history, repository.get_execution_page):
        with pytest.raises(InvalidInput) as refused:
            await read(**wrong)
        assert refused.value.field.startswith(next(iter(wrong)))


@about_reads
@pytest.mark.parametrize("offset", [-1, "5", 1.0, None, 2**63])
async def test_a_wrong_offset_is_refused_by_name(repository: ExecutionRepository, offset: Any) -> None:
    with pytest.raises(InvalidInput, match="offset"):
        await repository.get_execution_history(10, offset)


async def by_cursor(repository: ExecutionRepository, limit: int, **filters: Any) -> list[list[int]]:
    page = await repository.get_execution_page(limit, **filters)
    pages = [page]
    while page.next_cursor is not None:
        assert len(pages) < 20, "the pages do not end"
        page = await repository.get_execution_page(limit, page.next_cursor, **filters)
        pages.append(page)
    return [[each.id for each in page.executions] for page in pages]


async def by_offset(repository: ExecutionRepository, limit: int, **filters: Any) -> list[list[int]]:
    _, total = await repository.get_execution_history(0, **filters)
    offsets = range(0, max(total, 1), limit)
    return [[e.id for e in (await repository.get_execution_history(limit, at, **filters))[0]] for at in offsets]


def scattered(count: int) -> list[dict[str, Any]]:
    """Times in no order, many of them equal."""
    return [
        {"created_at": NOON + timedelta(microseconds=at * 7 % 5), "status": "running" if at % 3 else "failed"}
        for at in range(count)
    ]


@pytest.mark.parametrize("limit", [1, 3, 4, 12, 13, 100])
async def test_pages_by_cursor_are_the_pages_by_offset(repository: ExecutionRepository, limit: int) -> None:
    await fill(repository, scattered(12))
    assert await by_cursor(repository, limit) == await by_offset(repository, limit)
    assert await by_cursor(repository, limit, status="running") == await by_offset(repository, limit, status="running")


async def test_pages_by_cursor_stay_where_they_are_while_others_write(repository: ExecutionRepository) -> None:
    await fill(repository, scattered(6))
    expected = [number for page in await by_offset(repository, 100) for number in page]
    first = await repository.get_execution_page(3)
    await repository.create({"created_at": NOON + timedelta(days=1)})
    await repository.delete(expected[0])
    second = await repository.get_execution_page(3, first.next_cursor)
    assert [each.id for each in (*first.executions, *second.executions)] == expected
    assert second.next_cursor is None


@about_reads
async def test_an_empty_ledger_has_one_empty_page(repository: ExecutionRepository) -> None:
    page = await repository.get_execution_page()
    assert (page.executions, page.next_cursor) == ([], None)
    assert (await repository.get_execution_page(0)).next_cursor is None


@about_reads
@pytest.mark.parametrize("cursor", ["", "nonsense", "é", "=", "W10", "WyJhIiwxXQ", 5, b"W10", "x" * 5_000, "\ud800"])
async def test_what_is_no_cursor_is_refused(repository: ExecutionRepository, cursor: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        await repository.get_execution_page(10, cursor)
    assert refused.value.field == "cursor"
    str(refused.value).encode()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
@pytest.mark.store("postgresql")
async def test_pages_by_cursor_do_not_depend_on_the_time_zone_of_the_connection(
    database: Database, driver: str, zone: str
) -> None:
    # In Berlin the hour from 1:00 to 2:00 UTC on this day had the same local times as the one before.
    autumn = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    options = {"options": f"-c timezone={zone}"} if driver == "psycopg" else {"server_settings": {"timezone": zone}}
    engine = create_async_engine(database.url.replace("+psycopg", f"+{driver}"), connect_args=options)
    async with AsyncSession(engine) as session:
        repository = ExecutionRepository(session)
        await fill(repository, ({"created_at": autumn + timedelta(minutes=30 * at)} for at in range(5)))
        assert await by_cursor(repository, 1) == [[5], [4], [3], [2], [1]]
        assert len(await found(repository, created_from=autumn, created_before=autumn + timedelta(hours=1))) == 2
    await engine.dispose()
