"""The tables after random stories are what a count by hand says, however often and in whatever batches applied."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from execution_ledger.domain import Correct, Create, Update
from execution_ledger.infrastructure import create_sync_engine
from execution_ledger.projections import RecordedEvent, RunStatistics
from execution_ledger.projections.statistics.buckets import bucket_key
from support import Database
from support.examples import examples
from support.projecting import apply_each, execute_all, make_event, projected, stored_events
from support.run_stories import Told, count, ended_runs, stories, write_story

RUN_STATISTICS = RunStatistics()
BOUNDED: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


def cells_by_hand(events: list[RecordedEvent]) -> list[dict[str, Any]]:
    """The rows of `run_statistics`, in the order of their keys."""
    runs = ended_runs(events)
    for run in runs:
        run.row["outcome"] = run.row["status"]
    groups = [(1, run.hour, run.run_name, run.execution_type, run.row["outcome"], run) for run in runs] + [
        (24, run.hour // 24 * 24, "", run.execution_type, run.row["outcome"], run) for run in runs
    ]
    rows = []
    for key in sorted({group[:-1] for group in groups}):
        (counts,) = count(group[-1] for group in groups if group[:-1] == key).values()
        keys = ("span", "hour", "run_name", "execution_type", "outcome")
        measured = {"durations": text(counts.durations), "queue_times": text(counts.queue_times)}
        rows.append(
            dict(zip(keys, key, strict=True)) | {"runs": counts.outcomes.total(), "late": counts.late} | measured
        )
    return rows


def text(lengths: list[int]) -> str:
    sketch = sorted(Counter(map(bucket_key, lengths)).items())
    return "{" + ",".join(f'"{key}":{runs}' for key, runs in sketch) + "}"


def test_random_stories_are_counted_as_by_hand(sync_engine: Engine) -> None:
    @settings(max_examples=examples(100), **BOUNDED)
    @given(stories)
    def check(story: list[Told]) -> None:
        ledger = write_story(sync_engine, story)
        events = stored_events(sync_engine, ledger)
        apply_each(sync_engine, RUN_STATISTICS, events)
        found = projected(sync_engine, RUN_STATISTICS, ledger)
        assert found["run_statistics"] == cells_by_hand(events)
        apply_each(sync_engine, RUN_STATISTICS, events)
        assert projected(sync_engine, RUN_STATISTICS, ledger) == found

    check()


def test_batches_of_any_size_that_overlap_in_any_way_leave_the_same(sync_engine: Engine) -> None:
    @settings(max_examples=examples(100), **BOUNDED)
    @given(stories, st.data())
    def check(story: list[Told], data: st.DataObject) -> None:
        ledger = write_story(sync_engine, story)
        events = [each for each in stored_events(sync_engine, ledger) if each.type in RUN_STATISTICS.types]
        done, found = 0, projected(sync_engine, RUN_STATISTICS, ledger)
        while done < len(events):
            begin = data.draw(st.integers(0, done), label="begin")
            done = data.draw(st.integers(done + 1, len(events)), label="end")
            with sync_engine.begin() as connection:
                execute_all(connection, RUN_STATISTICS.batch(events[begin:done]))
            found = projected(sync_engine, RUN_STATISTICS, ledger)
            assert found["run_statistics"] == cells_by_hand(events[:done])
        apart = write_story(sync_engine, story)
        apply_each(sync_engine, RUN_STATISTICS, stored_events(sync_engine, apart))
        alone = projected(sync_engine, RUN_STATISTICS, apart)
        for row in (*alone["run_facts"], *found["run_facts"]):
            del row["execution_id"]  # of two ledgers, so of two runs
        assert sorted(map(repr, alone["run_facts"])) == sorted(map(repr, found["run_facts"]))
        assert alone["run_statistics"] == found["run_statistics"]

    check()


def test_ledgers_do_not_touch_each_other(sync_engine: Engine) -> None:
    story = [
        Told(0, Create.of({"run_name": "n", "status": "running"}), 1, None),
        Told(0, Update.of({"status": "failed"}), 1, None),
        Told(0, Correct.of({"run_name": "m"}), 1, None),
    ]
    one, other = write_story(sync_engine, story), write_story(sync_engine, story)
    apply_each(sync_engine, RUN_STATISTICS, stored_events(sync_engine, one))
    before = projected(sync_engine, RUN_STATISTICS, one)
    apply_each(sync_engine, RUN_STATISTICS, stored_events(sync_engine, other))
    assert projected(sync_engine, RUN_STATISTICS, one) == before


def test_a_run_that_ends_again_after_a_correction_leaves_no_empty_cell(sync_engine: Engine) -> None:
    told = (
        {"status": "failed", "completed_at": "2026-03-01T12:00:00Z"},
        {"status": "running", "completed_at": None},
        {"status": "completed", "completed_at": "2026-03-03T12:00:00Z"},
    )
    events = [make_event(1, "j", "created", data={"status": "running", "created_at": "2026-03-01T11:00:00Z"})]
    names = ("failed", "corrected", "completed")
    events += [make_event(at, "j", name, data=data) for at, (name, data) in enumerate(zip(names, told, strict=True), 2)]
    outcomes = []
    for event in events:
        apply_each(sync_engine, RUN_STATISTICS, [event])
        cells = projected(sync_engine, RUN_STATISTICS, "default")["run_statistics"]
        outcomes.append([cell["outcome"] for cell in cells])
    assert outcomes == [[], ["failed"] * 2, [], ["completed"] * 2]


def test_what_follows_a_lost_creation_is_counted_all_the_same(sync_engine: Engine) -> None:
    apply_each(sync_engine, RUN_STATISTICS, [make_event(7, "j", "failed", data=None)])
    found = projected(sync_engine, RUN_STATISTICS, "default")
    assert [(cell["outcome"], cell["runs"], cell["durations"]) for cell in found["run_statistics"]] == [
        ("failed", 1, "{}")
    ] * 2


@pytest.mark.soak
def test_many_random_stories_are_counted_as_by_hand(database: Database) -> None:
    engine = create_sync_engine(database.url)

    @settings(max_examples=2_000, **BOUNDED)
    @given(stories)
    def check(story: list[Told]) -> None:
        ledger = write_story(engine, story)
        events = stored_events(engine, ledger)
        apply_each(engine, RUN_STATISTICS, events)
        assert projected(engine, RUN_STATISTICS, ledger)["run_statistics"] == cells_by_hand(events)

    check()
    engine.dispose()
