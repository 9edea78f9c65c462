"""An event that was stored by an older program, as JSON text in a real database, still loads."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import UnknownEventType, fold
from execution_ledger.infrastructure.codec import decode_event
from execution_ledger.infrastructure.tables import execution_events, execution_streams, ledgers
from support import ledger
from support.crews import CREW_CATALOG, CREWS, Crew, CrewBase, CrewRepository, CrewRow, CrewSchedule

OLD = datetime(2030, 1, 31, 8, tzinfo=UTC)


async def a_crew_with_an_event_of_an_older_program(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession], schema_version: int = 1, data: str = '{"hour":7}'
) -> None:
    """A crew made today, and behind its creation an event exactly as the program of another version stored it."""
    async with engine.begin() as connection:
        await connection.run_sync(CrewBase.metadata.create_all)
    async with sessions() as session:
        crew = await CrewRepository(session).create({"code": "red", "name": "Red"})
        old = {
            "ledger_id": "crews", "position": 2, "execution_id": crew.execution_id, "version": 2,
            "type": "crew.scheduled", "schema_version": schema_version, "data": data, "salt": b"salt",
            "payload_digest": sha256(b"salt" + data.encode()).digest(), "leaf_hash": bytes(32), "recorded_at": OLD,
        }  # fmt: skip
        await session.execute(insert(execution_events).values(old))
        await session.execute(update(ledgers).values(size=2))
        await session.execute(update(execution_streams).values(version=2, last_recorded_at=OLD))
        await session.execute(update(CrewRow).values(version=2, updated_at=OLD, at="07:00"))
        await session.commit()


async def loaded(engine: AsyncEngine) -> list[Any]:
    return [decode_event(row, CREW_CATALOG) for row in await ledger.events(engine, "crews")]


async def test_an_event_of_an_older_version_loads_with_todays_payload(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    await a_crew_with_an_event_of_an_older_program(engine, sessions)
    event = (await loaded(engine))[1]
    assert (type(event), event.data) == (Crew.Scheduled, CrewSchedule(at="07:00"))
    assert (event.originator_version, event.timestamp) == (2, OLD)
    (stored,) = await ledger.rows(engine, select(execution_events.c.data).where(execution_events.c.position == 2))
    assert stored.data == '{"hour":7}', "reading changes nothing of what was written"


async def test_old_and_new_events_fold_together_into_the_row(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    await a_crew_with_an_event_of_an_older_program(engine, sessions)
    async with sessions() as session:
        repository = CrewRepository(session)
        old = await repository.get(1)
        new = await repository.update(1, {"at": "09:30", "name": "Crimson"})
    assert old is not None
    assert new is not None
    assert (old.at, new.at, new.name, new.version) == ("07:00", "09:30", "Crimson", 4)
    events = await loaded(engine)
    assert [event.data.changes().get("at") for event in events] == [None, "07:00", None, "09:30"]
    row = fold(events[:2])
    assert row is not None
    assert (row["name"], row["at"], row["version"]) == ("Red", "07:00", 2)
    await ledger.check_ledger(engine, "crews", CREWS)


async def test_events_of_both_versions_play_on_the_aggregate_of_the_library(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    await a_crew_with_an_event_of_an_older_program(engine, sessions)
    async with sessions() as session:
        await CrewRepository(session).update(1, {"at": "10:00"})
    crew: Any = None
    for event in await loaded(engine):
        crew = event.mutate(crew)
    assert (type(crew), crew.key, crew.version, crew.modified_on) == (Crew, "red", 3, OLD)


@pytest.mark.parametrize("schema_version", [3, 0])
async def test_an_event_of_a_version_that_is_not_known_yet_is_refused(
    engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession], schema_version: int
) -> None:
    await a_crew_with_an_event_of_an_older_program(engine, sessions, schema_version, '{"at":"07:00"}')
    with pytest.raises(UnknownEventType) as refused:
        await loaded(engine)
    assert (refused.value.topic, refused.value.schema_version) == ("crew.scheduled", schema_version)
