"""Names of streams."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest

from execution_ledger.domain import stream_id


@pytest.mark.parametrize(("ledger", "key"), [("default", "job-1"), ("défaut", "ключ"), ("a b", "x" * 255)])
def test_the_stream_of_a_key_is_a_uuid5_within_that_of_its_ledger(ledger: str, key: str) -> None:
    namespace = UUID("6f0e3f6c-2c8e-5d0b-9a53-8f1e0a6f7b11")  # it never changes: stored streams are named by it
    assert stream_id(ledger, key) == uuid5(uuid5(namespace, ledger), key)
    assert stream_id(ledger, key).version == 5
