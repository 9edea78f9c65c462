"""At terminals of few columns: nothing that is to be typed is cut, and no number loses its unit."""

from __future__ import annotations

import json
import re

import pytest

from execution_ledger.infrastructure import ExecutionRepository, migrate

from .conftest import Cli
from .test_read_commands import three_runs, write

JOB = "import-customers-0123456789"


async def story(runs: ExecutionRepository) -> None:
    await three_runs(runs)
    job = {"job_id": JOB, "run_name": "import of customers", "status": "running", "started_at": "2026-03-01T08:00:00Z"}
    await runs.create_execution(job)
    await runs.mark_execution_failed(JOB, "the disk of the database was full, which nobody had expected")


@pytest.fixture
def told(cli: Cli) -> Cli:
    migrate(cli.url)
    write(cli, story)
    return cli


def screen(cli: Cli, columns: int, *arguments: str) -> list[str]:
    status, seen = cli.terminal(*arguments, columns=columns)
    assert status in (0, 1), seen
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen).splitlines()
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_an_audit_tells_what_changed_below_each_event(told: Cli, columns: int) -> None:
    lines = screen(told, columns, "audit", "--type", "failed", "--job", "nightly-1")
    assert re.match(r"9  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", lines[0])
    assert "  status running → failed" in lines
    assert "  error - → disk full" in lines
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_keys_are_listed_with_the_ids_that_are_to_be_typed(told: Cli, columns: int) -> None:
    names = ("ci", "the deployment of the web shop in Europe")
    made = [
        json.loads(told.text("keys", "create", name, "--scope", "read", "--scope", "write", "--json"))["key"]["key_id"]
        for name in names
    ]
    lines = screen(told, columns, "keys", "list")
    assert [line.split()[0] for line in lines[1:]] == made
    assert all("active" in line for line in lines[1:])
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_numbers_keep_their_units(told: Cli, columns: int) -> None:
    lines = screen(told, columns, "stats", "--since", "2026-01-01")
    assert any(re.search(r"^2026-\d\d-\d\d UTC +\d+ +\d+%", line) for line in lines)
    assert not any("…" in line for line in lines)
    assert "nightly-1" in " ".join(lines)
    assert columns < 60 or JOB in " ".join(lines)
    assert max(map(len, lines)) <= columns
    history = screen(told, columns, "history")
    assert any("nightly-1" in line and "✘ failed" in line for line in history)
    assert any(line.split()[1].startswith(JOB[:15]) for line in history[1:4])
    assert not any(re.search(r"\d…", line.partition(JOB[:8])[0]) for line in history)


@pytest.mark.parametrize("columns", [40, 80])
def test_a_doctor_is_read_in_few_lines(told: Cli, columns: int) -> None:
    lines = screen(told, columns, "doctor")
    assert len(lines) < 40
    assert any("every page of it can be read" in line for line in lines)
