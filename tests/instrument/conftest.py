"""Ledgers to record in, and a look into them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execution_ledger.api.instrument import Ledger
from execution_ledger.infrastructure import Settings
from support import Database
from support.http_service import running
from support.looking import Look


@pytest.fixture
def address(via: str, database: Database) -> Iterator[str]:
    """Of the same ledger: its database, or a service."""
    if via == "database":
        yield database.url
        return
    with running(Settings(database_url=database.url, actor=None)) as address:
        yield address


@pytest.fixture
def ledger(address: str) -> Iterator[Ledger]:
    with Ledger(address, actor="ada") as ledger:
        yield ledger


@pytest.fixture
def look(database: Database) -> Look:
    return Look(database.url)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a process of its own."""

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "program.py"
        file.write_text(code, encoding="utf-8")
        command = [sys.executable, file, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)

    return run
