"""The ledger against a hand-written model of it: see `machine`, `rules` and `world`."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from model.machine import LedgerMachine

from support import Database
from support.audit import open_plainly
from support.examples import examples

_BOUNDED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
    "report_multiple_bugs": False,  # the first one takes its minutes to shrink
}


def hold_against_the_model(store: Database, **bounds: Any) -> None:
    auditor = open_plainly(store.url)
    machine = type("LedgerMachine", (LedgerMachine,), {"url": store.url, "auditor": auditor})
    try:
        run_state_machine_as_test(machine, settings=settings(**_BOUNDED | bounds))
    finally:
        auditor.dispose()


def test_random_commands_do_what_the_model_says(database: Database) -> None:
    hold_against_the_model(
        database,
        max_examples=examples(80),
        stateful_step_count=40,
        derandomize=bool(os.environ.get("CI")),  # the same examples at every run there; new ones on every other machine
    )


@pytest.mark.soak
def test_many_random_commands_do_what_the_model_says(database: Database) -> None:
    hold_against_the_model(database, max_examples=1_500, stateful_step_count=80)
