"""The page as people meet it: a real Chromium, a real service, and a day's ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from execution_ledger.infrastructure import Settings
from support.chromium import FLAGS, find_chromium
from support.day import Day
from support.http_service import running
from support.postgres import Server
from support.provider import PUBLIC, Provider

from .axe import PHONE, WIDE
from .contexts import Contexts

HERE = Path(__file__).parent
LOGGED_IN = "grace"
Open = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.page)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    assert path is not None, "no Chromium: see `make test-page`"
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def written(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the day's ledger."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("day") / "ledger.db"))
    Day(runs=240).write(f"sqlite:///{path}")
    return path


def settings_for(url: str, **more: Any) -> Settings:
    """What every service of these tests has in common."""
    return Settings(database_url=url, actor=LOGGED_IN, log_level="warning", **more)


@pytest.fixture(scope="session")
def day(written: Path) -> Iterator[str]:
    """The address of a service over it, for tests that only look."""
    with running(settings_for(f"sqlite:///{written}", audit_interval=10)) as address:
        wait_until_projected(address)
        yield address


@pytest.fixture
def fresh(written: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a service over a copy of it, for tests that write."""
    path = shutil.copy(written, tmp_path / "ledger.db")
    with running(settings_for(f"sqlite:///{path}")) as address:
        yield address


@pytest.fixture
def on_postgresql(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    """The same over PostgreSQL, with less in it."""
    url = postgres_server.create_database(postgres_template)
    Day(runs=20).write(url)
    with running(settings_for(url)) as address:
        yield address
    postgres_server.drop_database(url)


@pytest.fixture
def secured(written: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and database URL of a service that asks for keys, over a copy."""
    url = f"sqlite:///{shutil.copy(written, tmp_path / 'ledger.db')}"
    with running(settings_for(url, auth=True, key_cache=0.0)) as address:
        yield address, url


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """Where people log in."""
    with Provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def offering_settings(written: Path, tmp_path: Path, provider: Provider) -> Settings:
    """Settings of a service where people sign in there, over a copy."""
    return settings_for(
        f"sqlite:///{shutil.copy(written, tmp_path / 'ledger.db')}",
        auth=True,
        key_cache=0.0,
        oidc_issuer=provider.issuer,
        oidc_audience="ledger",
        oidc_client_id=PUBLIC,
        oidc_scope_claim="ledger_scopes",
        oidc_actor_claim="preferred_username",
        oidc_login_name="Acme",
    )


@pytest.fixture
def offering(offering_settings: Settings) -> Iterator[str]:
    """The address of that service."""
    with running(offering_settings) as address:
        yield address


@pytest.fixture
def empty(sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a service over an empty ledger."""
    path = shutil.copy(sqlite_template, tmp_path / "ledger.db")
    with running(settings_for(f"sqlite:///{path}")) as address:
        yield address


def wait_until_projected(address: str) -> None:
    """Statistics are of a projection: ask for its last event."""
    with httpx.Client(base_url=f"{address}/api/v1/", timeout=60, trust_env=False) as client:
        size = client.get("ledger").json()["size"]
        window = {"ended_from": "2020-01-01", "ended_before": "2100-01-01"}
        assert client.get("statistics", params=window, headers={"X-Min-Position": str(size)}).status_code == 200


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Contexts:
    return Contexts(browser)


@pytest.fixture
def open_page(contexts: Contexts) -> Iterator[Open]:
    """Opens a page, in a browser that knows nothing yet. Whatever goes wrong in it fails the test.

    A console error, a script's, a request to another host, a refusal of the content security policy; answers of 401
    and 404 are expected of some tests, which say so, as is a way elsewhere.
    """
    wrong: list[str] = []
    with ExitStack() as stack:

        def open_page(
            url: str,
            *,
            theme: Any = "light",
            phone: bool = False,
            expected: tuple[int, ...] = (),
            elsewhere: str = "",
            **options: Any,
        ) -> Page:
            size = PHONE if phone else WIDE
            lent = contexts.lend(
                viewport=size, color_scheme=theme, reduced_motion="reduce", has_touch=phone, locale="en-GB",
                timezone_id="Europe/Berlin", permissions=["clipboard-read", "clipboard-write"], **options,
            )  # fmt: skip
            page = stack.enter_context(lent).new_page()
            page.set_default_timeout(15_000)
            hosts = {each.split("/")[2] for each in (url, elsewhere) if each}

            def answered(response: Response) -> None:
                if response.status >= 400 and response.status not in expected:
                    wrong.append(f"{response.status} {response.url}")

            def told(message: Any) -> None:
                if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
                    wrong.append(message.text)

            def asked(request: Any) -> None:
                if request.url.split("/")[2] not in hosts:
                    wrong.append(f"a request to {request.url}")

            page.on("response", answered)
            page.on("console", told)
            page.on("request", asked)
            page.on("pageerror", lambda error: wrong.append(f"{error}\n{error.stack}"))
            page.on("dialog", lambda dialog: (wrong.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
            page.goto(url)
            return page

        yield open_page
        assert wrong == []


@pytest.fixture
def api() -> Iterator[Callable[[str], httpx.Client]]:
    """A client of the API of an address, for what others do meanwhile."""
    with ExitStack() as stack:

        def make(address: str) -> httpx.Client:
            client = httpx.Client(base_url=f"{address}/api/v1/", timeout=60, trust_env=False)
            return stack.enter_context(client)

        yield make
