"""Many writers in two processes: what was acknowledged is there once, in order, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from concurrency.processes import Worker
from concurrency.races import PROCESSES, WRITERS, Tail, in_session, messages, prepare, race

from execution_ledger.infrastructure import ExecutionRepository
from support import Database
from support.audit import ENDED, audit

UPDATES = 60
"""By each writer: 3,200 in all."""


def report(record_property: Callable[[str, object], None], database: Database, what: str, value: object) -> None:
    """Measured, and never asserted: times depend on the machine."""
    record_property(what, value)
    print(f"\n{database.kind}: {what}: {value}")


def test_every_acknowledged_update_of_16_writers_is_one_event(
    workers: list[Worker], database: Database, record_property: Callable[[str, object], None]
) -> None:
    shared = prepare(database, 6)
    separate = [[prepare(database, 1) for _ in range(WRITERS)] for _ in workers]
    before = len(shared) + PROCESSES * WRITERS
    with Tail(database.url) as tail:
        for name, worker in enumerate(workers):
            details = {"shared": shared, "separate": separate[name], "count": UPDATES, "writers": WRITERS}
            worker.start("updates", name=f"p{name}", url=database.url, **details)
        answers = [worker.answer() for worker in workers]

    assert [answer["errors"] for answer in answers] == [{}] * PROCESSES
    acknowledged = [marker for worker in workers for unit in worker.done for marker in unit]
    assert len(acknowledged) == len(set(acknowledged)) == PROCESSES * WRITERS * UPDATES
    ledger = audit(database.url)["default"]
    assert messages(ledger) == Counter(acknowledged)
    assert ledger.head["size"] == before + len(acknowledged)
    assert tail.seen == [(each["position"], each["leaf_hash"].hex()) for each in ledger.events]
    assert tail.polls > 10, "the reader saw nothing of the run"
    for unit in (unit for worker in workers for unit in worker.done if len(unit) > 1):
        together = [each["position"] for each in ledger.events if each["payload"].get("message") in unit]
        assert together == list(range(together[0], together[0] + len(unit))), "a unit of work was torn apart"
    rate = len(acknowledged) / max(answer["seconds"] for answer in answers)
    slowest = max(answer["slowest"] for answer in answers)
    report(record_property, database, "updates per second", round(rate))
    report(record_property, database, "seconds of the slowest commit", round(slowest, 2))


def test_one_of_many_creates_of_a_job_wins(workers: list[Worker], database: Database) -> None:
    for outcomes in race(workers, "create", database, rounds=15):
        won = [outcome for outcome in outcomes if outcome != "DuplicateJobId"]
        assert len(won) == 1
        assert won[0].startswith("created ")
    assert audit(database.url)["default"].head["size"] == 15


def test_a_command_sent_by_all_at_once_runs_once(workers: list[Worker], database: Database) -> None:
    ids = prepare(database, 15)
    for outcomes in race(workers, "same_command", database, rounds=15, ids=ids):
        assert outcomes == ["2"] * PROCESSES * WRITERS
    assert messages(audit(database.url)["default"]) == Counter(f"told {at}" for at in range(15))


def test_either_approved_or_rejected_wins(workers: list[Worker], database: Database) -> None:
    ids = prepare(database, 20, status="waiting_for_approval")
    outcomes = race(workers, "decide", database, rounds=20, ids=ids, events=["approved", "rejected"])
    ledger = audit(database.url)["default"]
    for id, outcome in zip(ids, outcomes, strict=True):
        status = ledger.rows[id]["status"]
        assert status in {"running", "rejected"}
        assert ledger.rows[id]["version"] == 2
        # Half of the writers asked for what happened, the others were refused.
        assert Counter(outcome) == {status: PROCESSES * WRITERS // 2, "IllegalTransition": PROCESSES * WRITERS // 2}


def test_the_first_terminal_status_stays(workers: list[Worker], database: Database) -> None:
    ids = prepare(database, 20)
    events = ["completed", "failed", "cancelled", "stopped"]
    outcomes = race(workers, "decide", database, rounds=20, ids=ids, events=events)
    ledger = audit(database.url)["default"]
    for id, outcome in zip(ids, outcomes, strict=True):
        status = ledger.rows[id]["status"]
        assert status in ENDED
        assert ledger.rows[id]["version"] == 2
        assert Counter(outcome) == {status: PROCESSES * WRITERS // 4, "IllegalTransition": PROCESSES * WRITERS * 3 // 4}


def test_many_may_be_the_first_to_write_to_a_ledger(workers: list[Worker], database: Database) -> None:
    for outcomes in race(workers, "first_write", database, rounds=15):
        assert sorted(map(int, outcomes)) == list(range(1, PROCESSES * WRITERS + 1))
    ledgers = audit(database.url)
    assert {name: ledger.head["size"] for name, ledger in ledgers.items()} == {
        f"ledger-{at}": PROCESSES * WRITERS for at in range(15)
    }


@pytest.mark.parametrize("flush", [False, True], ids=["at the commit", "one by one"])
def test_one_transaction_may_write_to_several_ledgers(
    workers: list[Worker], database: Database, flush: bool, record_property: Callable[[str, object], None]
) -> None:
    for ledger in ("blue", "green", "red"):
        prepare(database, 1, ledger, job_id="shared")
    # Locks taken in any order run into deadlocks, each of which PostgreSQL resolves after a second.
    rounds, writers = (2, 2) if flush else (6, WRITERS)
    outcomes = race(workers, "several_ledgers", database, rounds, writers=writers, flush=flush)
    busy = sum(int(outcome) for outcomes_of_round in outcomes for outcome in outcomes_of_round)
    if not flush:
        assert busy == 0, "flushed together, ledgers are locked in one order"
    report(record_property, database, f"LedgerBusy in {rounds * PROCESSES * writers} transactions", busy)
    expected = {
        f"p{name}-{at}-{writer}" for name in range(PROCESSES) for at in range(rounds) for writer in range(writers)
    }
    for ledger in audit(database.url).values():
        assert messages(ledger) == Counter(expected)


def test_a_killed_writer_leaves_whole_units_and_all_that_was_acknowledged(
    workers: list[Worker], database: Database
) -> None:
    shared = prepare(database, 6)
    doomed = Worker()
    details = {"url": database.url, "shared": shared, "separate": [[]] * WRITERS, "writers": WRITERS}
    doomed.start("updates", name="doomed", count=100_000, **details)
    workers[0].start("updates", name="p0", count=50, **details)
    while len(doomed.done) < 100:
        assert doomed.alive
    doomed.kill()
    assert workers[0].answer()["errors"] == {}, "the death of one writer disturbed another"

    ledger = audit(database.url)["default"]
    recorded = messages(ledger)
    assert max(recorded.values()) == 1
    for worker in (doomed, workers[0]):
        assert recorded.keys() >= {marker for unit in worker.done for marker in unit}
    units = Counter(each["correlation_id"] for each in ledger.events if each["type"] == "execution.details_changed")
    whole = {unit[0]: len(unit) for worker in (doomed, workers[0]) for unit in worker.done}
    for first, size in whole.items():
        assert units.pop(first) == size
    # What else is there was committed just before the kill, and not acknowledged any more: one unit for each writer.
    assert len(units) <= WRITERS
    assert all(first.startswith("doomed-") for first in units)
    # The ledger goes on.
    in_session(database, lambda session: ExecutionRepository(session).update(shared[0], {"message": "on"}))
    assert messages(audit(database.url)["default"])["on"] == 1
