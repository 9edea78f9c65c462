"""On SQLite, whatever a group reads and writes is found by its whole key, however large the ledger has grown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import event

from execution_ledger.domain import FinishStep, StartStep
from execution_ledger.infrastructure import Request
from support.writers import WatchedWriter, create, delete, note, update

pytestmark = pytest.mark.store("sqlite")

# The head has no longer key than the ledger.
_BY_LEDGER_ALONE = re.compile(r"SEARCH (?!ledgers|l )\S+ USING .*\(ledger_id=\?\)")
_SCAN = re.compile(r"SCAN (?!json_each|\d+ CONSTANT ROW|CONSTANT ROW|one)")


async def test_no_statement_of_a_group_reads_the_whole_ledger(writer: WatchedWriter) -> None:
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
