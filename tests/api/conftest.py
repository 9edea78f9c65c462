"""One running service for each store, and a ledger of its own for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from execution_ledger.infrastructure import Settings
from support import Database
from support.http_service import make_client, running
from support.postgres import Server


@dataclass(frozen=True)
class Service:
    """Where the service listens, what it serves from, and the ledger of this test."""

    address: str
    database_url: str
    ledger: str


@pytest.fixture(scope="session")
def start_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], tuple[str, str]]]:
    """Address and database URL of the service over a store, started when it is first asked for."""
    started: dict[str, tuple[str, str]] = {}
    with ExitStack() as stack:

        def start(store: str) -> tuple[str, str]:
            if store not in started:
                if store == "sqlite":
                    template: Path = request.getfixturevalue("sqlite_template")
                    url = f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('service') / 'ledger.db')}"
                else:
                    server: Server = request.getfixturevalue("postgres_server")
                    url = server.create_database(request.getfixturevalue("postgres_template"))
                    stack.callback(server.drop_database, url)
                settings = Settings(database_url=url, actor=None, max_payload_bytes=100_000)
                started[store] = stack.enter_context(running(settings)), url
            return started[store]

        yield start


@pytest.fixture
def service(store: str, start_service: Callable[[str], tuple[str, str]]) -> Service:
    return Service(*start_service(store), ledger=uuid4().hex)


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with make_client(service.address, headers={"X-Ledger": service.ledger}) as client:
        yield client


@pytest.fixture
def settings(database: Database) -> Settings:
    """For tests that start a service of their own."""
    return Settings(database_url=database.url, actor=None, max_payload_bytes=100_000)
