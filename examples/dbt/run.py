"""A real `dbt-ol` that tells a real service of its runs: `make example-dbt`.

Twice: `dbt build` as it is, told of at its end, and one whose model `revenue` fails, told of as it goes. Then what was
recorded is shown, and compared with what happened; the exit status is 1 where it differs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
FOLDER = HERE / ".run"
"""A copy of the project, and the ledger; git ignores it, and each run begins it anew."""
LEDGER = f"sqlite:///{FOLDER / 'ledger.db'}"
COMMAND = str(Path(sys.executable).with_name("execution-ledger"))
TOOLS = HERE / ".venv" / "bin"

Runs = dict[str, dict[str, Any]]
"""Executions by their names."""


def main() -> int:
    """Run dbt twice, show what was recorded, and say whether it is right."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(HERE, FOLDER, ignore=shutil.ignore_patterns(".*", "*.py", "requirements.*"))
    subprocess.run([COMMAND, "migrate", "--database", LEDGER], check=True)
    with serving() as address, httpx.Client(base_url=f"{address}/api/v1/", trust_env=False) as service:
        told = dbt(address, 0, "build")
        told += dbt(address, 1, "build", "--consume-structured-logs", "--vars", "broken: true")
        runs = executions(service)
        failed = next(run["job_id"] for run in runs if run["run_name"] == "model.shop.revenue")
        show("history", "--limit", "100", "--url", address)
        show("timeline", failed, "--url", address)
        show("status", failed, "--url", address)
        wrong = [*compare(runs), *compare_events(service, runs, told)]
    for each in wrong:
        print(f"WRONG: {each}")
    print("What was recorded is not what happened." if wrong else f"All {told} events are recorded, and right.")
    print(f"The ledger: execution-ledger history --database sqlite:///{os.path.relpath(FOLDER / 'ledger.db')}")
    return 1 if wrong else 0


@contextmanager
def serving() -> Iterator[str]:
    """A service on a free port, and its address."""
    settings = {"DATABASE_URL": LEDGER, "PORT": "0", "LOG_LEVEL": "warning"}
    env = os.environ | {f"EXECUTION_LEDGER_{name}": value for name, value in settings.items()}
    with subprocess.Popen([COMMAND, "serve"], env=env, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            yield re.findall(r"http://[^/ ]+", service.stdout.readline())[0]
        finally:
            service.terminate()


def dbt(address: str, expected: int, *arguments: str) -> int:
    """Run `dbt-ol`, which ends as expected; how many events it says that it sent."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "OPENLINEAGE"))}
    env |= {
        "OPENLINEAGE_URL": address,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_USE_COLORS": str(sys.stdout.isatty()),
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{TOOLS}{os.pathsep}{env['PATH']}",
        "TQDM_DISABLE": "1",
    }
    print(f"\n$ dbt-ol {' '.join(arguments)}", flush=True)
    ran = subprocess.run(
        [TOOLS / "dbt-ol", *arguments], cwd=FOLDER, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    print(ran.stdout, flush=True)
    assert ran.returncode == expected, f"dbt-ol ended with {ran.returncode}"
    assert "failed to emit" not in ran.stdout, "an event did not arrive"
    return int(re.findall(r"Emitted (\d+) OpenLineage events", ran.stdout)[0])


def show(*arguments: str) -> None:
    """Run a command of ours."""
    print(f"\n$ execution-ledger {' '.join(arguments)}", flush=True)
    subprocess.run([COMMAND, *arguments], check=True)


def executions(service: httpx.Client) -> list[dict[str, Any]]:
    """All that were recorded."""
    return service.get("executions", params={"limit": 1000}).raise_for_status().json()["executions"]


def compare(runs: list[dict[str, Any]]) -> Iterator[str]:
    """What is wrong with the executions."""
    roots = [run for run in runs if run["parent_job_id"] is None]
    if sorted((run["run_name"], run["status"]) for run in roots) != [
        ("dbt-run-shop", "completed"),
        ("dbt-run-shop", "failed"),
    ]:
        yield f"the runs of dbt: {roots}"
        return
    by_status = {run["status"]: run for run in roots}
    inside = parts(runs, by_status["completed"])
    model, tests = "shop.main.shop.{}.build.run", "shop.main.shop.{}.build.test"
    names = {each.format(name) for each in (model, tests) for name in ("orders", "revenue")}
    yield from differences(inside, dict.fromkeys(names, "completed"))

    failed = by_status["failed"]
    if not failed["error"].startswith("Command `dbt build`"):
        yield f"the error of the failed run of dbt: {failed['error']}"
    inside = parts(runs, failed)
    shorter = {re.sub(r"\.[0-9a-f]{10}$", "", name): run for name, run in inside.items()}  # dbt's own suffix of tests
    good = ("seed.shop.raw_orders", "model.shop.orders", "test.shop.unique_orders_id", "test.shop.not_null_orders_id")
    bad = {"model.shop.revenue": "failed", "test.shop.not_null_revenue_revenue": "cancelled"}
    yield from differences(shorter, dict.fromkeys(good, "completed") | bad)
    error, sources = shorter["model.shop.revenue"]["error"], shorter["model.shop.revenue"]["inputs"]["datasets"]
    if "price" not in error:
        yield f"the error of the failed model: {error}"
    if [each["name"] for each in sources] != ["shop.main.orders"]:
        yield f"the sources of the failed model: {sources}"
    for name, run in inside.items():
        statements = parts(runs, run).values()
        if {each["attributes"]["openlineage_job_type"] for each in statements} - {"SQL"}:
            yield f"the statements of {name}: {statements}"
        if run["status"] != "cancelled" and not statements:
            yield f"{name} has no statements"
        ends = {each["status"] for each in statements}
        if ends - {"completed"} != ({"failed"} if run["status"] == "failed" else set()):
            yield f"the statements of {name} are {ends}"


def parts(runs: list[dict[str, Any]], whole: dict[str, Any]) -> Runs:
    """The executions that are directly part of another one."""
    return {run["run_name"]: run for run in runs if run["parent_job_id"] == whole["job_id"]}


def differences(runs: Runs, expected: dict[str, str]) -> Iterator[str]:
    """Where their statuses are not as expected."""
    statuses = {name: run["status"] for name, run in runs.items()}
    if statuses != expected:
        yield f"the parts are {statuses}, not {expected}"


def compare_events(service: httpx.Client, runs: list[dict[str, Any]], told: int) -> Iterator[str]:
    """What is wrong with the events: each is kept as it came, and one that is sent again is recorded once."""
    events = [
        event
        for run in runs
        for event in service.get(f"executions/{run['job_id']}/lineage").raise_for_status().json()["events"]
    ]
    if len(events) != told or any(not event["producer"].endswith("integration/dbt") for event in events):
        yield f"{len(events)} events are kept of the {told} that were sent"
    root = service.get("ledger/root").json()
    again = service.post("lineage/batch", json=events).raise_for_status().json()
    if again["status"] != "success" or service.get("ledger/root").json() != root:
        yield f"sent again, they change the ledger: {again}"


if __name__ == "__main__":
    sys.exit(main())
