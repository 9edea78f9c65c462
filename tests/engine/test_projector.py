"""Projections are brought up to date, stop where an event fails, and go on once that is mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import InvalidInput, UnknownProjection
from execution_ledger.infrastructure import Announcer, EventStore, GroupWriter, Request
from execution_ledger.projections import Heads, ProjectionControl, Projector
from execution_ledger.projections.engine.batch import project
from support import Database
from support.counting import Poison, counted, make_counting
from support.writers import create, note, update

TIMEOUT = 30.0


async def write(writer: GroupWriter, *requests: Request) -> None:
    """One after the other: a group sorts its events by run."""
    for request in requests:
        await writer.execute(request)


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[GroupWriter]:
    async with GroupWriter(database.url) as writer:
        yield writer


async def test_everything_is_projected_once_in_batches(sync_engine: Engine, writer: GroupWriter) -> None:
    projector = Projector(sync_engine, [make_counting(sync_engine)], batch=7)
    assert await projector.catch_up() == 0
    await write(writer, create("a"), create("b"), *(note("a", f"{at}") for at in range(20)))
    assert await projector.catch_up() == 22
    await write(writer, note("b", "x"))
    assert await projector.catch_up() == 1
    assert await projector.catch_up() == 0
    assert counted(sync_engine) == {"a": 21, "b": 2}


async def test_each_ledger_and_each_projection_is_at_its_own_position(sync_engine: Engine, writer: GroupWriter) -> None:
    await write(writer, create("a"), create("b"))
    await writer.execute(create("a", ledger="other"))
    one = make_counting(sync_engine, types={"execution.noted"})
    await Projector(sync_engine, [one]).catch_up()
    assert counted(sync_engine) == {}, "events of other types pass by"
    two = make_counting(sync_engine, "two")
    control = ProjectionControl(sync_engine, [one, two])
    await writer.execute(note("a", "n", ledger="other"))
    assert {(each.projection, each.ledger, each.position, each.lag) for each in control.statuses()} == {
        ("counting", "default", 2, 0),
        ("counting", "other", 1, 1),
        ("two", "default", 0, 2),
        ("two", "other", 0, 2),
    }
    assert control.statuses()[0].lag == 2, "what lags the most comes first"
    assert [each.ledger for each in control.statuses("other")] == ["other", "other"]
    await Projector(sync_engine, [one, two]).catch_up()
    assert {each.lag for each in control.statuses()} == {0}


async def test_an_event_that_fails_stops_its_projection_in_its_ledger_alone(
    sync_engine: Engine, writer: GroupWriter
) -> None:
    bad, good = make_counting(sync_engine, "bad"), make_counting(sync_engine, "good", types=set())
    bad.poison.add("a")
    await write(writer, create("a"), create("b"), note("b", "1"), note("a", "bad"), note("b", "2"))
    await writer.execute(create("c", ledger="other"))
    projector, control = Projector(sync_engine, [bad, good]), ProjectionControl(sync_engine, [bad, good])
    await projector.catch_up()
    (stopped,) = control.statuses(stopped=True)
    assert (stopped.projection, stopped.ledger, stopped.position, stopped.failed_position) == ("bad", "default", 3, 4)
    assert stopped.error == "Poison: the note of a"
    assert stopped.lag == 2
    assert counted(sync_engine) == {"a": 1, "b": 2}, "what came before is projected"
    assert counted(sync_engine, "other") == {"c": 1}
    assert [each.lag for each in control.statuses() if each.projection == "good"] == [0, 0]
    assert await projector.catch_up() == 0, "it is not tried again by itself"

    assert control.retry("bad")
    await projector.catch_up()
    assert control.statuses(stopped=True)[0].failed_position == 4, "it fails as before"
    bad.poison.clear()
    assert control.retry("bad")
    await projector.catch_up()
    assert not control.statuses(stopped=True)
    assert not control.retry("bad"), "nothing to retry"
    assert counted(sync_engine) == {"a": 2, "b": 3}


async def test_an_event_that_fails_sets_its_execution_aside_where_the_projection_allows_that(
    sync_engine: Engine, writer: GroupWriter
) -> None:
    projection = make_counting(sync_engine, quarantines=True)
    projection.poison.add("a")
    projector, control = Projector(sync_engine, [projection], batch=4), ProjectionControl(sync_engine, [projection])
    await write(writer, create("a"), create("b"), note("a", "bad"), note("b", "1"), note("a", "too"))
    await projector.catch_up()
    await write(writer, update("a", message="m"), note("b", "2"))
    await projector.catch_up()
    assert counted(sync_engine) == {"a": 1, "b": 3}
    (aside,) = control.quarantined("counting", "default")
    assert (aside.job_id, aside.position, aside.error) == ("a", 3, "Poison: the note of a")
    (status,) = control.statuses()
    assert (status.lag, status.stopped, status.quarantined) == (0, False, 1)

    with pytest.raises(Poison):
        control.release("counting", "a")
    assert control.quarantined(), "it stays aside"
    assert counted(sync_engine) == {"a": 1, "b": 3}
    projection.poison.clear()
    assert control.release("counting", "a") == 3
    assert counted(sync_engine) == {"a": 4, "b": 3}
    assert not control.quarantined()
    await writer.execute(note("a", "3"))
    await projector.catch_up()
    assert counted(sync_engine) == {"a": 5, "b": 3}
    with pytest.raises(InvalidInput, match="not quarantined"):
        control.release("counting", "a")
    with pytest.raises(UnknownProjection, match="There are: counting"):
        control.release("counted", "a")


async def test_a_statement_that_the_database_refuses_is_a_failure_of_its_event(
    sync_engine: Engine, writer: GroupWriter
) -> None:
    projection = make_counting(sync_engine)
    with sync_engine.begin() as connection:
        connection.execute(text("CREATE UNIQUE INDEX test_counts_events ON test_counts (ledger_id, events)"))
    await write(writer, create("a"), create("b"), create("c"))
    await Projector(sync_engine, [projection]).catch_up()
    (status,) = ProjectionControl(sync_engine, [projection]).statuses()
    assert (status.position, status.failed_position) == (1, 2)
    assert status.error is not None
    assert "\n" not in status.error
    assert counted(sync_engine) == {"a": 1}


@pytest.mark.store("postgresql")
async def test_a_ledger_that_another_worker_has_is_left_to_it(sync_engine: Engine, writer: GroupWriter) -> None:
    projection = make_counting(sync_engine)
    await writer.execute(create("a"))
    assert project(sync_engine, projection, "default", 10) == 1
    await writer.execute(create("b"))
    with sync_engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM projection_checkpoints FOR UPDATE"))
        assert project(sync_engine, projection, "default", 10) == 0
    assert project(sync_engine, projection, "default", 10) == 1


async def test_it_is_woken_by_what_is_written_in_the_same_process(
    sync_engine: Engine, engine: AsyncEngine, database: Database
) -> None:
    announcer = Announcer()
    heads = Heads(engine, announcer=announcer, poll=TIMEOUT)
    projector = Projector(sync_engine, [make_counting(sync_engine)], heads, poll=TIMEOUT)
    async with (
        GroupWriter(database.url, store=EventStore(announcer=announcer)) as writer,
        heads.watching(),
        projector.running(),
    ):
        await asyncio.sleep(0.3)  # it has looked, and waits for half a minute
        await writer.execute(create("a"))
        await _until(lambda: counted(sync_engine) == {"a": 1})
        await writer.execute(note("a", "n"))
        await _until(lambda: counted(sync_engine) == {"a": 2})


@pytest.mark.store("postgresql")
async def test_it_is_woken_by_what_another_process_wrote(
    sync_engine: Engine, engine: AsyncEngine, database: Database
) -> None:
    """By NOTIFY: the announcer of the writer is not that of the projector."""
    announcer, heads = Announcer(sync_engine), Heads(engine, poll=TIMEOUT)
    projector = Projector(sync_engine, [make_counting(sync_engine)], heads, poll=TIMEOUT)
    async with (
        GroupWriter(database.url, store=EventStore(announcer=announcer)) as writer,
        heads.watching(),
        projector.running(),
    ):
        await asyncio.sleep(1.0)
        for number in range(1, 4):
            await writer.execute(create("a") if number == 1 else note("a", "n"))
            await _until(lambda number=number: counted(sync_engine) == {"a": number})
    announcer.close()


async def test_without_any_news_it_looks_from_time_to_time(
    sync_engine: Engine, writer: GroupWriter, engine: AsyncEngine
) -> None:
    heads = Heads(engine, poll=0.05)
    async with heads.watching(), Projector(sync_engine, [make_counting(sync_engine)], heads, poll=TIMEOUT).running():
        await writer.execute(create("a"))
        await _until(lambda: counted(sync_engine) == {"a": 1})


async def test_two_of_a_name_are_refused(sync_engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="have a name twice"):
        Projector(sync_engine, [make_counting(sync_engine), make_counting(sync_engine)])


async def _until(is_so) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(TIMEOUT - 5):  # before anybody looks by himself
        while not await asyncio.to_thread(is_so):
            await asyncio.sleep(0.01)
