"""Schemathesis: whatever the OpenAPI document allows or forbids is sent, and every answer is as documented.

`make test` sends the same few thousand requests each time; `make fuzz` many more, by another seed each time.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr

from execution_ledger.infrastructure import SCOPES, Settings, create_key, create_sync_engine
from execution_ledger.infrastructure.short_transactions import short_transaction
from support import Database
from support.http_service import running

_HERE = Path(__file__).parent / "fuzz"
_STREAMS = ("stream_events", "stream_cloudevents", "replay_execution")
"""They end when the client goes, or when the replayed run did; tests/api/test_reads.py reads them."""

_EXAMPLES = os.environ.get("EXECUTION_LEDGER_TEST_FUZZ_EXAMPLES")
_SEED = os.environ.get("EXECUTION_LEDGER_TEST_FUZZ_SEED") or (str(secrets.randbelow(10**6)) if _EXAMPLES else "1")

pytestmark = pytest.mark.store(*(("sqlite", "postgresql") if _EXAMPLES else ("sqlite",)))
"""What is refused is refused before a store is asked; `make fuzz` sends to both."""


def test_every_answer_is_as_documented(settings: Settings, database: Database, tmp_path: Path) -> None:
    folder = shutil.copytree(_HERE, tmp_path / "fuzz")  # it keeps what it found beside its settings
    engine = create_sync_engine(database.url)
    with short_transaction(engine) as connection:
        _, key = create_key(connection, "default", "fuzz", SCOPES, now=datetime.now(UTC))
    engine.dispose()
    reaching = {"webhook_allow": [ip_network("127.0.0.0/8")], "webhook_retry_delay": 60}
    secured = settings.model_copy(update={"auth": True, "metrics_token": SecretStr(key), **reaching})
    with running(secured) as address:
        excluded = [part for each in _STREAMS for part in ("--exclude-operation-id", each)]
        command = ["--no-color", "run", f"{address}/api/v1/openapi.json"]
        options = ["--checks", "all", "--continue-on-failure", *excluded]
        bounds = ["--max-examples", _EXAMPLES or "5", "--seed", _SEED]
        st = Path(sys.executable).with_name("st")
        environment = {**os.environ, "LEDGER_KEY": key}
        done = subprocess.run(
            [st, *command, *options, *bounds], cwd=folder, env=environment, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout, done.stdout
