"""The real CrewAI, without a model and without a network: `make test-crewai`."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before it is imported.
os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
}

import pytest

from execution_ledger.api.instrument import Ledger
from execution_ledger.infrastructure import Settings
from support.http_service import running
from support.looking import Look


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path / "crewai"))
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a connection to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(params=["database", "service"])
def address(request: pytest.FixtureRequest, url: str) -> Iterator[str]:
    """Of the same ledger: its database, or a service."""
    if request.param == "database":
        yield url
        return
    with running(Settings(database_url=url, actor=None)) as address:
        yield address


@pytest.fixture
def ledger(address: str) -> Iterator[Ledger]:
    with Ledger(address, actor="ada") as ledger:
        yield ledger


@pytest.fixture
def look(url: str) -> Look:
    return Look(url)
