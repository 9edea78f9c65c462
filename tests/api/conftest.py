"""One running service for each store, and a ledger of its own for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from execution_ledger.infrastructure import Settings
from support import Database
from support.http_service import make_client, running
from support.issuer import Issuer
from support.postgres import Server


@dataclass(frozen=True)
class Service:
    """Where the service listens, what it serves from, and the ledger of this test."""

    address: str
    database_url: str
    ledger: str


def _settings(url: str) -> Settings:
    return Settings(database_url=url, actor=None, max_payload_bytes=100_000)


@pytest.fixture(scope="session")
def sqlite_service(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and database URL of the service over SQLite."""
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('service') / 'ledger.db')}"
    with running(_settings(url)) as address:
        yield address, url


@pytest.fixture(scope="session")
def postgresql_service(postgres_server: Server, postgres_template: str) -> Iterator[tuple[str, str]]:
    """The same over PostgreSQL."""
    url = postgres_server.create_database(postgres_template)
    with running(_settings(url)) as address:
        yield address, url
    postgres_server.drop_database(url)


@pytest.fixture
def service(store: str, request: pytest.FixtureRequest) -> Service:
    return Service(*request.getfixturevalue(f"{store}_service"), ledger=uuid4().hex)


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with make_client(service.address, headers={"X-Ledger": service.ledger}) as client:
        yield client


@pytest.fixture
def settings(database: Database) -> Settings:
    """For tests that start a service of their own."""
    return _settings(database.url)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()
