"""Databases that refuse some events for a reason of their own, at the insert or not before the commit."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from support import Database

POISON = {
    "sqlite at the insert": [
        "CREATE TRIGGER poison BEFORE INSERT ON execution_events WHEN instr(NEW.data, 'poison') > 0 "
        "BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
    ],
    "sqlite at the commit": [
        "CREATE TABLE parents (id integer PRIMARY KEY)",
        "CREATE TABLE children (parent integer REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER poison AFTER INSERT ON execution_events WHEN instr(NEW.data, 'poison') > 0 "
        "BEGIN INSERT INTO children VALUES (1); END",
    ],
    "postgresql at the insert": [
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'poisoned' USING ERRCODE = 'check_violation'; END $$",
        "CREATE TRIGGER poison BEFORE INSERT ON execution_events FOR EACH ROW "
        "WHEN (strpos(NEW.data, 'poison') > 0) EXECUTE FUNCTION poison()",
    ],
    "postgresql at the commit": [
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'poisoned' USING ERRCODE = 'check_violation'; END $$",
        "CREATE CONSTRAINT TRIGGER poison AFTER INSERT ON execution_events DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW WHEN (strpos(NEW.data, 'poison') > 0) EXECUTE FUNCTION poison()",
    ],
}
"""A rule that nobody told us of: an event with this word in it cannot be stored."""


async def poison(database: Database, engine: AsyncEngine, when: str = "at the insert") -> None:
    async with engine.begin() as connection:
        for statement in POISON[f"{database.kind} {when}"]:
            await connection.exec_driver_sql(statement)
