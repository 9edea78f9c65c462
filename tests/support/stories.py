"""A ledger with a little of everything."""

from __future__ import annotations

from execution_ledger.domain import Delete, FinishStep, StartStep, Update
from execution_ledger.infrastructure import GroupWriter, Request
from support.writers import create, note


async def write_stories(writer: GroupWriter, runs: int = 30, ledger: str = "default") -> None:
    """Runs that are pending, running, completed, failed or deleted; with steps, notes, results and corrections."""
    for number in range(runs):
        key = f"job-{number}"

        def run(command: object, key: str = key) -> Request:
            return Request(ledger, key, command)  # type: ignore[arg-type]

        requests = [create(key, ledger=ledger, inputs={"n": number}, run_name=f"name-{number % 3}")]
        if number % 5:
            requests += [run(Update.of({"status": "running", "message": "m"})), run(StartStep.of("s", name="step"))]
        if number % 5 > 1:
            requests += [run(FinishStep.of("s")), note(key, "n", ledger=ledger), run(Update.of({"progress": 0.5}))]
        if number % 5 == 3:
            requests += [run(Update.of({"status": "completed", "result": {"rows": [1, True, None, 1.0]}}))]
        if number % 5 == 4:
            requests += [run(Update.of({"status": "failed", "error": "it broke"}))]
        if number % 7 == 6:
            requests += [run(Delete())]
        await writer.execute_together(requests)
