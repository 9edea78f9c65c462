"""What goes wrong with one command stays its own affair: unexpected errors, rivals for a key, ledgers that are held."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from execution_ledger.domain import (
    Command,
    CommandIdReused,
    Create,
    DuplicateJobId,
    InvalidInput,
    LedgerError,
    PayloadTooLarge,
    StoreError,
)
from execution_ledger.infrastructure import EventStore, ExecutionRepository, Request, create_sync_engine
from execution_ledger.infrastructure.writing import commit
from support import Database, ledger
from support.poison import poison
from support.writers import (
    TIMEOUT,
    OpenWriter,
    WatchedWriter,
    create,
    held,
    note,
    queue,
    update,
    watch_appends,
)


def kinds(answers: Sequence[Any]) -> list[Any]:
    """The version of each outcome, the kind of each refusal."""
    return [type(each) if isinstance(each, LedgerError) else each and each.version for each in answers]


@pytest.mark.parametrize("when", ["at the insert", "at the commit"])
@pytest.mark.parametrize("poisoned", [{0}, {6}, {3, 4}, {0, 2, 4, 6}, set(range(7))], ids=str)
async def test_an_unexpected_error_hits_only_the_commands_that_cause_it(
    database: Database, engine: AsyncEngine, writer: WatchedWriter, poisoned: set[int], when: str
) -> None:
    await poison(database, engine, when)
    requests = [create(f"{at}", message="poison" if at in poisoned else "m") for at in range(7)]
    answers = await writer.execute_together(requests, rows=True)
    assert kinds(answers) == [StoreError if at in poisoned else 1 for at in range(7)]
    assert all(str(answers[at]).startswith("The database refused: ") for at in poisoned)
    good = [each for each in answers if not isinstance(each, LedgerError)]
    assert [each.id for each in good] == list(range(1, len(good) + 1)), "no number was lost"
    assert [each.row["job_id"] for each in good] == [f"{at}" for at in range(7) if at not in poisoned]
    assert len(await ledger.events(engine)) == len(good)


async def test_commands_on_one_execution_go_on_around_the_one_that_cannot_be_stored(
    database: Database, engine: AsyncEngine, writer: WatchedWriter
) -> None:
    await poison(database, engine)
    requests = [
        create("a"),
        update("a", status="running"),
        update("a", message="poison", command_id="c1"),
        update("a", message="m"),
        update("a", status="pending"),
        update("a", message="poison", command_id="c1"),
        note("a", "n"),
    ]
    for expected in ([1, 2, StoreError, 3], [DuplicateJobId, 5, StoreError, 6]):
        answers = await writer.execute_together(requests, rows=True)
        assert kinds(answers)[:4] == expected
        assert kinds(answers[5:6]) == [StoreError]
        assert answers[-1].row["message"] == "m"
        requests[1] = note("a", "again")
    assert "poison" not in "".join(each.data for each in await ledger.events(engine))


async def test_the_neighbors_in_other_ledgers_of_a_command_that_cannot_be_stored_are_recorded(
    database: Database, engine: AsyncEngine, open_writer: OpenWriter
) -> None:
    await poison(database, engine)
    writer = open_writer(workers=1)
    writer.watch.clear()
    with held(database):
        first = await queue(writer, create("a", "blue"))
        await writer.watch.sent()
        futures = await queue(
            writer,
            create("a", "red"),
            create("a", "green", message="poison"),
            create("b", "blue"),
            create("b", "green"),
        )
    answers = [(await each)[0] for each in (*first, *futures)]
    assert kinds(answers) == [1, 1, StoreError, 1, 1]


class Odd(Command, frozen=True):
    """A command that no execution knows."""


async def test_a_programming_error_in_one_command_reaches_its_caller_and_no_neighbor(
    writer: WatchedWriter, engine: AsyncEngine, database: Database
) -> None:
    await writer.execute(create("a"))
    writer.watch.clear()
    with held(database):
        first = await queue(writer, note("a", "1"))
        await writer.watch.sent()
        before, odd, after = await queue(writer, note("a", "2"), Request("default", "a", Odd()), note("a", "3"))
    assert [(await each)[0].version for each in (*first, before, after)] == [2, 3, 4]
    (told,) = await odd
    assert isinstance(told, TypeError)
    with pytest.raises(TypeError, match="Odd"):
        await writer.execute(Request("default", "a", Odd()))
    assert (await writer.execute(note("a", "4"))).version == 5
    assert len(await ledger.events(engine)) == 5


@pytest.mark.parametrize("target", [["a"], {}, 1.5, b"a", None, True])
async def test_a_target_that_names_nothing_is_refused_at_once_and_the_ledger_goes_on(
    open_writer: OpenWriter, target: Any
) -> None:
    writer = open_writer(capacity=1)
    await writer.execute(create("a"))
    wrong = Request("default", target, update("a").command)
    for send in (writer.execute, writer.submit):
        with pytest.raises(InvalidInput, match="target"):
            await asyncio.wait_for(send(wrong), TIMEOUT)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="target"):
        await writer.execute(Request("default", 1, Create.of({})))
    async with asyncio.timeout(TIMEOUT):
        assert (await writer.execute(note("a", "1"))).version == 2


async def test_the_target_of_a_creation_gives_the_key_where_its_details_do_not(writer: WatchedWriter) -> None:
    answers = await writer.execute_together(
        [
            Request("default", "a", Create.of({"message": "m"})),
            Request("default", "b", Create.of({"job_id": "c"})),
            note("c", "n"),
        ],
        rows=True,
    )
    assert [each.row["job_id"] for each in answers] == ["a", "c", "c"]


async def test_a_payload_that_is_too_large_is_refused_alone(open_writer: OpenWriter) -> None:
    writer = open_writer()
    large = "x" * writer.store.limits.payload_bytes
    answers = await writer.execute_together([create("a"), note("a", large), create("b", inputs=large), note("a", "n")])
    assert kinds(answers) == [1, PayloadTooLarge, PayloadTooLarge, 2]


async def test_payloads_beyond_what_a_transaction_takes_go_into_the_next_one(
    monkeypatch: pytest.MonkeyPatch, writer: WatchedWriter, engine: AsyncEngine
) -> None:
    monkeypatch.setattr(commit, "MAX_BYTES", 1_000)
    sizes = watch_appends(writer)
    text = "x" * 500
    requests = [create("a"), *(note("a", f"{at} {text}", command_id=f"c{at}") for at in range(6)), create("b")]
    answers = await writer.execute_together(requests, rows=True)
    assert kinds(answers) == [1, 2, 3, 4, 5, 6, 7, 1]
    assert [each.first_position for each in answers] == list(range(1, 9))
    assert [each.row["version"] for each in answers] == [1, 2, 3, 4, 5, 6, 7, 1]
    assert sizes == [3, 2, 2, 1]
    again = await writer.execute_together(requests[1:3])
    assert [each.replayed for each in again] == [True, True]


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_transaction_has_more_commands_than_a_group(
    database: Database, open_writer: OpenWriter, limit: int
) -> None:
    writer = open_writer(group=limit)
    await writer.execute(create("a"))
    sizes = watch_appends(writer)
    writer.watch.clear()
    with held(database):
        first = await queue(writer, note("a", "first"))
        await writer.watch.sent()
        futures = await queue(writer, *(note("a", f"{at}") for at in range(10)))
    answers = [(await each)[0] for each in (*first, *futures)]
    assert kinds(answers) == list(range(2, 13))
    assert sizes == [1, *([limit] * (10 // limit)), *([10 % limit] if 10 % limit else [])]


async def test_commands_that_were_sent_together_stay_together_whatever_a_groups_size(open_writer: OpenWriter) -> None:
    writer = open_writer(group=2)
    sizes = watch_appends(writer)
    assert kinds(await writer.execute_together([create(f"{at}") for at in range(7)])) == [1] * 7
    assert sizes == [7]


async def test_keys_that_another_process_took_are_found_out_and_the_rest_is_recorded(
    writer: WatchedWriter, engine: AsyncEngine, database: Database
) -> None:
    async with async_sessionmaker(engine)() as session:
        for name in ("b", "d"):
            await ExecutionRepository(session).create({"job_id": name}, command_id=f"c {name}")
    answers = await writer.execute_together(
        [create("a"), create("b"), create("c", command_id="c b"), create("d", command_id="c d"), note("b", "n")]
    )
    assert kinds(answers) == [1, DuplicateJobId, CommandIdReused, 1, 2]
    assert answers[3].replayed


@pytest.mark.store("postgresql")
async def test_a_rival_that_takes_the_keys_while_the_group_is_decided_only_costs_another_try(
    database: Database, writer: WatchedWriter, engine: AsyncEngine
) -> None:
    await writer.execute(create("old"))
    rival = create_sync_engine(database.url)
    taken: list[str] = []

    @event.listens_for(writer.watch.engine, "before_cursor_execute")
    def overtake(*arguments: Any) -> None:
        if str(arguments[2]).startswith("WITH") and len(taken) < 3:
            taken.append(f"{len(taken)}")
            with rival.begin() as connection:
                EventStore().execute(connection, create(taken[-1], command_id=f"c{taken[-1]}"))

    requests = [create(f"{at}") for at in range(4)]
    requests += [create("other", command_id="c2"), note("old", "n"), create("0", command_id="c0"), note("0", "n")]
    answers = await writer.execute_together(requests)
    rival.dispose()
    assert kinds(answers) == [DuplicateJobId, DuplicateJobId, DuplicateJobId, 1, CommandIdReused, 2, 1, 2]
    assert len(await ledger.events(engine)) == 1 + 3 + 3


@pytest.mark.store("postgresql")
async def test_whoever_holds_one_ledger_holds_up_no_other(
    database: Database, open_writer: OpenWriter, engine: AsyncEngine
) -> None:
    writer = open_writer(workers=1, patience=TIMEOUT)
    for name in ("a", "b", "c"):
        await writer.execute(create("x", name))
    writer.watch.clear()
    lock = "SELECT 1 FROM ledgers WHERE ledger_id = '{}' FOR UPDATE"
    async with engine.connect() as holder, engine.connect() as brief:
        await holder.execute(text(lock.format("a")))
        await brief.execute(text(lock.format("b")))
        first = await queue(writer, note("x", "first", "b"))
        await writer.watch.sent()
        a, b, c = await queue(writer, note("x", "1", "a"), note("x", "2", "b"), note("x", "3", "c"))
        await brief.rollback()
        async with asyncio.timeout(TIMEOUT / 2):
            assert [(await each)[0].version for each in (*first, b, c)] == [2, 3, 2]
        assert not a.done()
        await holder.rollback()
    assert (await a)[0].version == 2


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("ledger", Request("other\ud800", "a", create("a").command)),
        ("ledger", Request("", "a", note("a", "n").command)),
        ("job_id", Request("default", "a\ud800", note("a", "n").command)),
        ("job_id", Request("default", "", create("a").command)),
        ("id", Request("default", 2**63, note("a", "n").command)),
        ("command_id", Request("default", "a", note("a", "n").command, command_id="c\ud800")),
        ("command_id", Request("default", "a", note("a", "n").command, command_id=["c"])),  # type: ignore[arg-type]
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_command_that_nobody_checked_fails_alone(writer: WatchedWriter, field: str, request_: Request) -> None:
    if isinstance(request_.command, Create) and request_.ledger == "default":
        request_ = Request("default", "", Create.of({}))
    good = [create("good"), create("good", "another ledger")]
    first, bad, last = await asyncio.gather(
        writer.execute(good[0]), writer.execute(request_), writer.execute(good[1]), return_exceptions=True
    )
    assert kinds([first, last]) == [1, 1]
    assert isinstance(bad, InvalidInput)
    assert bad.field == field
