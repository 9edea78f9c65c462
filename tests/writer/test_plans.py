"""Whatever a group reads and writes is found by its whole key, however large the ledger has grown."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from psycopg.sql import Literal
from sqlalchemy import Connection, event

from execution_ledger.domain import FinishStep, StartStep
from execution_ledger.infrastructure import Request
from support.writers import WatchedWriter, create, delete, note, update

# The head has no longer key than the ledger.
_BY_LEDGER_ALONE = re.compile(r"SEARCH (?!ledgers|l )\S+ USING .*\(ledger_id=\?\)")
_SCAN = re.compile(r"SCAN (?!json_each|\d+ CONSTANT ROW|CONSTANT ROW|one)")


@pytest.mark.store("sqlite")
async def test_no_statement_of_a_group_reads_the_whole_ledger_on_sqlite(writer: WatchedWriter) -> None:
    sent: dict[str, Any] = {}

    def keep(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        sent[statement] = parameters[0] if many else parameters

    event.listen(writer.watch.engine, "before_cursor_execute", keep)
    steps = [Request("default", "a", command) for command in (StartStep.of("s", name="n"), FinishStep.of("s"))]
    await writer.execute_together([create("a", command_id="1"), create("b"), *steps])
    await writer.execute_together([update("a", message="m", command_id="2"), update(2, message="m"), note("b", "n")])
    await writer.execute_together([update(1, message="n"), update(2, message="n", command_id="3")])
    await writer.execute_together([update("b", message="x"), delete(1)])
    event.remove(writer.watch.engine, "before_cursor_execute", keep)

    with writer.watch.engine.connect() as connection:
        plans = {
            statement: [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in sent.items()
            if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))
        }
    assert sum("FROM (SELECT value" in statement for statement in plans) >= 4, list(plans)
    slow = {
        statement: plan
        for statement, plan in plans.items()
        if any(_BY_LEDGER_ALONE.search(line) or _SCAN.search(line) for line in plan)
    }
    assert not slow


@pytest.mark.store("postgresql")
@pytest.mark.parametrize("others", [0, 2_000])
async def test_no_statement_of_a_group_reads_the_whole_ledger_on_postgresql(writer: WatchedWriter, others: int) -> None:
    """Neither while nobody analyzed the tables, nor where the average ledger has one run."""
    await asyncio.gather(*(writer.execute(create("a", ledger=f"idle-{number}")) for number in range(others)))
    jobs = [f"job-{number}" for number in range(300)]
    await writer.execute_together([create(job) for job in jobs])
    if others:
        with writer.watch.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
    sent: dict[str, Any] = {}

    def keep(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent[statement] = parameters

    event.listen(writer.watch.engine, "before_cursor_execute", keep)
    for turn in range(5):  # whichever connections take them
        await writer.execute_together([update(job, message=f"{turn}", command_id=f"{job} {turn}") for job in jobs])
    event.remove(writer.watch.engine, "before_cursor_execute", keep)

    with writer.watch.engine.connect() as connection:
        plans = {
            statement: _generic_plan(connection, statement, given)
            for statement, given in sent.items()
            if "json_to_recordset" in statement
        }
    scans = [scan for plan in plans.values() for scan in re.findall(r"Scan using (.*?)  .*\n *Index Cond: (.*)", plan)]
    assert {name.split()[-1] for name, _ in scans} >= {"h", "l", "s"}
    assert not [scan for scan in scans if not (scan[0].endswith(" l") or " AND " in scan[1])]


def _generic_plan(connection: Connection, statement: str, parameters: dict[str, Any]) -> str:
    """The plan that is kept for a prepared statement, whatever its parameters."""
    driver: Any = connection.connection.driver_connection
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", statement)
    values = ", ".join(Literal(parameters[name]).as_string(driver) for name in names)
    driver.execute("SET plan_cache_mode = force_generic_plan")
    driver.execute(f"PREPARE watched AS {numbered.replace('%%', '%')}")
    plan = "\n".join(row[0] for row in driver.execute(f"EXPLAIN EXECUTE watched ({values})"))
    driver.execute("DEALLOCATE watched")
    return plan
