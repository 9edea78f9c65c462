"""How the page is served: its own files, to be kept for good, and nothing that lets another script in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from execution_ledger.api.page.assets import load_assets
from execution_ledger.api.page.document import make_document
from execution_ledger.api.page.paths import VIEWS

from .conftest import Service

STATIC = Path(__file__).parents[2] / "api" / "page" / "static"
VENDORED = STATIC / "vendor" / "VENDORED.md"
FOR_TESTS = Path(__file__).parents[1] / "page" / "VENDORED.md"


@pytest.fixture
def browser(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.address, timeout=60, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("path", [*(view.replace("{run}", "a%2Fb") for view in VIEWS), "/audit?actor=ada"])
def test_each_view_is_answered_by_the_same_document(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.content == make_document().content
    again = browser.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_only_its_own_scripts_may_run(browser: httpx.Client) -> None:
    policy = dict(each.split(" ", 1) for each in browser.get("/").headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/=]+'", policy.pop("script-src"))
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == "'none'"
    assert not [each for each in policy.values() if "unsafe" in each or "*" in each or "http" in each]


def test_files_are_kept_for_good_by_their_digest(browser: httpx.Client) -> None:
    document = browser.get("/").text
    names = re.findall(r'(?:src|href)="(/page/[^"]+)"', document)
    assert len(names) > 20
    for name in names:
        answer = browser.get(name)
        assert answer.status_code == 200, name
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        kind = "text/javascript" if name.endswith(".js") else "text/css" if name.endswith(".css") else "image/svg+xml"
        assert answer.headers["content-type"].partition(";")[0] == kind
    again = browser.get(names[0], headers={"If-None-Match": browser.get(names[0]).headers["etag"]})
    assert again.status_code == 304
    digest = load_assets().digest
    for path in (names[0].replace(digest, "0" * 16), f"/page/{digest}/nothing.js", f"/page/{digest}/../assets.py"):
        assert browser.get(path).status_code == 404, path
    for path in ("vendor/VENDORED.md", "vendor/LICENSE-htm", "..%2Fassets.py", "js"):
        assert browser.get(f"/page/{digest}/{path}").status_code == 404, path


def test_the_api_is_left_alone(browser: httpx.Client) -> None:
    for path in ("/api/v1/nowhere", "/nowhere", "/run", "/runs/a"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
    assert browser.get("/healthz").json() == {"status": "ok"}
    refused = browser.post("/")
    assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert "default-src 'none'; frame-ancestors 'none'" in browser.get("/api/v1/ledger").headers.values()


def test_a_browser_that_goes_astray_gets_the_page(browser: httpx.Client) -> None:
    to_show = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path in ("/nowhere", "/runs/a", "/statistics/"):
        answer = browser.get(path, headers=to_show)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8"), path
        assert answer.content == make_document().content
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        again = browser.get(path, headers=to_show | {"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 404
    for method, path in (("GET", "/api/v1/nowhere"), ("POST", "/nowhere"), ("GET", "/api/v1/executions/nobody")):
        answer = browser.request(method, path, headers=to_show)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path


def test_no_file_names_another_host_or_puts_text_in_as_html() -> None:
    for path, asset in load_assets().by_path.items():
        text = asset.content.decode()
        if path.startswith("vendor/"):
            continue
        assert set(re.findall(r"https?://[\w.-]+", text)) <= {"http://www.w3.org"}, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), path


@pytest.mark.parametrize("listed", [VENDORED, FOR_TESTS])
def test_vendored_files_are_those_that_are_listed(listed: Path) -> None:
    row = r"^\| `([^`]+)` \| `([^`]+ [\d.]+)` \| (\S+) \| `[^`]+` \| `([0-9a-f]{64})` \|$"
    rows = re.findall(row, listed.read_text(), re.M)
    assert {name for name, *_ in rows} == {
        each.name for each in listed.parent.iterdir() if each.suffix in (".js", ".css")
    }
    for name, _, spdx, digest in rows:
        assert sha256((listed.parent / name).read_bytes()).hexdigest() == digest, name
        assert spdx in ("MIT", "Apache-2.0", "MPL-2.0")
