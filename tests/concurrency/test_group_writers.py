"""Group writers in two processes, or one beside sessions: what was acknowledged is there once, and in order."""

from __future__ import annotations

from collections import Counter

import pytest
from concurrency.processes import Worker
from concurrency.races import PROCESSES, WRITERS, Tail, in_session, messages, prepare, race

from execution_ledger.infrastructure import ExecutionRepository
from support import Database
from support.audit import audit

UPDATES = 50
"""By each writer: 800 in all, or a few more."""

both_ways = pytest.mark.parametrize("grouped", [["p0", "p1"], ["p1"]], ids=["two group writers", "one beside sessions"])
"""Which of the processes write through a group writer."""


def keyed(database: Database) -> list[str]:
    """Executions that are named by their job ids."""
    for name in ("key-0", "key-1"):
        prepare(database, 1, job_id=name)
    return ["key-0", "key-1"]


@pytest.mark.parametrize("jobs", [["grouped", "grouped"], ["updates", "grouped"]], ids=" and ".join)
def test_every_acknowledged_update_through_group_writers_is_one_event(
    workers: list[Worker], database: Database, jobs: list[str]
) -> None:
    shared, keys = prepare(database, 6), keyed(database)
    separate = [[prepare(database, 1) for _ in range(WRITERS)] for _ in workers]
    before = len(shared) + len(keys) + PROCESSES * WRITERS
    with Tail(database.url) as tail:
        for name, worker in enumerate(workers):
            details = {"shared": shared, "keys": keys, "separate": separate[name], "count": UPDATES}
            worker.start(jobs[name], name=f"p{name}", url=database.url, writers=WRITERS, **details)
        answers = [worker.answer() for worker in workers]
    assert [answer["errors"] for answer in answers] == [{}] * PROCESSES
    acknowledged = [marker for worker in workers for unit in worker.done for marker in unit]
    assert len(acknowledged) == len(set(acknowledged)) >= PROCESSES * WRITERS * UPDATES
    ledger = audit(database.url)["default"]
    assert messages(ledger) == Counter(acknowledged)
    assert ledger.head["size"] == before + len(acknowledged)
    assert tail.seen == [(each["position"], each["leaf_hash"].hex()) for each in ledger.events]
    assert tail.polls > 10, "the reader saw nothing of the run"


@both_ways
def test_one_of_many_creates_of_a_job_wins(workers: list[Worker], database: Database, grouped: list[str]) -> None:
    for outcomes in race(workers, "create", database, rounds=8, grouped=grouped):
        won = [outcome for outcome in outcomes if outcome != "DuplicateJobId"]
        assert len(won) == 1
        assert won[0].startswith("created ")
    assert audit(database.url)["default"].head["size"] == 8


@both_ways
def test_a_command_sent_by_all_at_once_runs_once(workers: list[Worker], database: Database, grouped: list[str]) -> None:
    ids = prepare(database, 8)
    for outcomes in race(workers, "same_command", database, rounds=8, ids=ids, grouped=grouped):
        assert outcomes == ["2"] * PROCESSES * WRITERS
    assert messages(audit(database.url)["default"]) == Counter(f"told {at}" for at in range(8))


@both_ways
def test_the_first_terminal_status_stays(workers: list[Worker], database: Database, grouped: list[str]) -> None:
    ids = prepare(database, 8)
    events = ["completed", "failed", "cancelled", "stopped"]
    outcomes = race(workers, "decide", database, rounds=8, ids=ids, events=events, grouped=grouped)
    ledger = audit(database.url)["default"]
    for id, outcome in zip(ids, outcomes, strict=True):
        status = ledger.rows[id]["status"]
        assert ledger.rows[id]["version"] == 2
        assert Counter(outcome) == {status: PROCESSES * WRITERS // 4, "IllegalTransition": PROCESSES * WRITERS * 3 // 4}


@both_ways
def test_many_may_be_the_first_to_write_to_a_ledger(
    workers: list[Worker], database: Database, grouped: list[str]
) -> None:
    for outcomes in race(workers, "first_write", database, rounds=8, grouped=grouped):
        assert sorted(map(int, outcomes)) == list(range(1, PROCESSES * WRITERS + 1))
    ledgers = audit(database.url)
    assert {name: ledger.head["size"] for name, ledger in ledgers.items()} == {
        f"ledger-{at}": PROCESSES * WRITERS for at in range(8)
    }


def test_a_killed_group_writer_leaves_whole_groups_and_all_that_was_acknowledged(
    workers: list[Worker], database: Database
) -> None:
    shared, keys = prepare(database, 6), keyed(database)
    doomed = Worker()
    details = {"url": database.url, "shared": shared, "keys": keys, "separate": [[]] * WRITERS, "writers": WRITERS}
    doomed.start("grouped", name="doomed", count=100_000, **details)
    workers[0].start("grouped", name="p0", count=40, **details)
    while len(doomed.done) < 200:
        assert doomed.alive
    doomed.kill()
    assert workers[0].answer()["errors"] == {}, "the death of one writer disturbed another"
    ledger = audit(database.url)["default"]
    recorded = messages(ledger)
    assert max(recorded.values()) == 1
    units = Counter(each["correlation_id"] for each in ledger.events if each["type"] == "execution.details_changed")
    for unit in (unit for worker in (doomed, workers[0]) for unit in worker.done):
        assert recorded.keys() >= set(unit)
        assert units.pop(unit[0]) == len(unit)
    # What else is there was committed just before the kill, and not acknowledged any more.
    assert all(first.startswith("doomed-") for first in units)
    assert len(units) <= WRITERS * 3
    in_session(database, lambda session: ExecutionRepository(session).update(shared[0], {"message": "on"}))
    assert messages(audit(database.url)["default"])["on"] == 1
