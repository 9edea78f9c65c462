"""One small tree: every error carries its data, says it in words, and survives a trip between processes."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from execution_ledger import domain
from execution_ledger.domain import LedgerError

DATA: dict[str, dict[str, Any]] = {
    "NotProjected": {"ledger": "l", "what": "the projection 'p'", "position": 3, "min_position": 5},
    "RebuildRefused": {"projection": "p", "ledger": "l", "problem": "is under way", "remedy": "Wait."},
    "UnknownKey": {"key_id": "k", "ledger": "l"},
    "UnknownWebhook": {"endpoint_id": "e", "ledger": "l"},
    "UnknownDeadLetter": {"position": 7, "endpoint_id": "e"},
    "UnknownProjection": {"name": "p", "known": "q, r"},
    "InvalidInput": {"field": "f", "problem": "p {x}", "remedy": "r"},
    "PayloadTooLarge": {"field": "f", "problem": "p", "remedy": "r"},
    "IllegalTransition": {"job_id": "j", "source": "running", "problem": "p", "remedy": "r"},
    "DuplicateKey": {"key": "k", "ledger": "l", "deleted": True},
    "DuplicateJobId": {"key": "k", "ledger": "l", "deleted": False},
    "UnknownExecution": {"ledger": "l", "target": 7},
    "LeaseHeld": {"key": "k", "holder": "h", "until": datetime(2026, 1, 31, 8, tzinfo=UTC)},
    "LeaseLost": {"key": "k", "token": 3},
    "UnknownStep": {"job_id": "j", "step_id": "s"},
    "StepConflict": {"job_id": "j", "step_id": "s", "problem": "p", "remedy": "r"},
    "VersionConflict": {"key": "k", "expected": 1, "actual": 2},
    "CommandIdReused": {"command_id": "c"},
    "LedgerBusy": {"problem": "p", "remedy": "r"},
    "StoreUnavailable": {"problem": "p"},
    "OutcomeUnknown": {"problem": "p"},
    "StoreFull": {"problem": "p"},
    "WriterClosed": {},
    "StoreError": {"problem": "p"},
    "UnitRefused": {"problem": "p"},
    "SchemaNotReady": {"problem": "p"},
    "SchemaTooNew": {"revision": "9"},
    "EngineNotConfigured": {"missing": "m"},
    "UnknownEventType": {"topic": "t", "schema_version": 3},
    "EventMissing": {"ledger": "l", "position": 2, "size": 3},
    "ReadOnly": {"what": "w", "remedy": "r"},
}


def test_these_are_all_the_errors_that_there_are() -> None:
    exported = {name: getattr(domain, name) for name in domain.__all__}
    errors = {name for name, each in exported.items() if isinstance(each, type) and issubclass(each, LedgerError)}
    assert errors - {"LedgerError"} == set(DATA)


@pytest.mark.parametrize("name", DATA)
def test_an_error_carries_its_data_and_says_it(name: str) -> None:
    error = getattr(domain, name)(**DATA[name])
    assert {field: getattr(error, field) for field in DATA[name]} == DATA[name]
    assert "{" not in str(error).replace("{x}", "")
    for field, value in DATA[name].items():
        assert str(value) in str(error) or field == "deleted"


@pytest.mark.parametrize("name", DATA)
def test_an_error_survives_pickling_and_copying(name: str) -> None:
    error = getattr(domain, name)(**DATA[name])
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(twin), str(twin), twin.details) == (type(error), str(error), error.details)
