"""The examples of docs/http.md do what the page says; the tables on it are those of the code."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import httpx

from execution_ledger.api.http import problem_kinds
from execution_ledger.api.http.commands import COMMANDS
from execution_ledger.api.http.problem_kinds import ERRORS, Kind
from execution_ledger.infrastructure import Settings
from support.http_service import make_client, running

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


def test_every_example_gets_the_status_that_is_printed(settings: Settings) -> None:
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    examples = re.findall(r"^curl (.*)\n# → (\d+)$", script, re.MULTILINE)
    assert len(examples) == script.count("curl ") == 32
    with running(settings) as address, make_client(address) as client:
        for command, status in examples:
            assert curl(client, command).status_code == int(status), command


def test_the_quick_start_of_the_readme_works_as_pasted(settings: Settings) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(curl .*?)^```", readme, re.MULTILINE | re.DOTALL)
    commands = block.splitlines()
    assert len(commands) == 6
    with running(settings) as address, make_client(address) as client:
        here = address.removeprefix("http://")
        for command in (each.replace("localhost:8470", here) for each in commands):
            if shutil.which("curl") is None:
                assert curl(client, command.replace(here, address)).is_success
            else:
                pasted = ["sh", "-c", command.replace("curl ", "curl --fail --silent --show-error --noproxy '*' ")]
                assert json.loads(subprocess.run(pasted, capture_output=True, check=True, text=True).stdout)
        assert client.get("executions/report-8").json()["result"] == {"rows": 7}
        assert client.get("audit", params={"actor": "ada"}).json()["events"][0]["event"]["reason"] == "the usual"


def curl(client: httpx.Client, command: str) -> httpx.Response:
    """What curl would send: not every machine has one."""
    method, url, headers, data, query = "", "", {}, "", False
    words = iter(shlex.split(command.replace("$API/", str(client.base_url))))
    parameters = []
    for word in words:
        match word:
            case "-i":
                pass
            case "-G":
                query = True
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                data = next(words)
            case "--data-urlencode":
                name, _, value = next(words).partition("=")
                parameters.append((name, value))
            case _:
                assert not word.startswith("-"), word
                url = word
    method = method or ("POST" if data else "GET")
    assert query == bool(parameters)
    return client.request(method, url, headers=headers, content=data, params=parameters or None)


def test_the_table_of_commands_is_that_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| `[a-z_]+` \| (.*) \|$", PAGE, re.MULTILINE))
    for command in COMMANDS:
        told = re.sub(r" \(.*?\)", "", rows[command.path]).split(", ")
        assert {name.strip("*") for name in told} == set(command.fields)
        assert {name.strip("*") for name in told if name.startswith("**")} == set(command.required)


def test_every_problem_is_listed_with_its_status() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", PAGE, re.MULTILINE)
    kinds = [*ERRORS.values(), *(each for each in vars(problem_kinds).values() if isinstance(each, Kind))]
    for kind in kinds:
        if kind.name != "read-only":  # nothing over HTTP gives it
            assert any(str(kind.status) in status and f"`{kind.name}`" in names for status, names in rows), kind.name
