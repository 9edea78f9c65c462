"""Dockerfile and compose.yaml, as far as they can be read, and their health check run, without an engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from execution_ledger.api.http.server import Server
from execution_ledger.infrastructure import Settings
from support.http_service import running

ROOT = Path(__file__).parents[2]
PREFIX = "EXECUTION_LEDGER_"


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile: name and arguments."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def stages() -> list[list[tuple[str, str]]]:
    """The same, stage by stage."""
    found: list[list[tuple[str, str]]] = []
    for each in instructions():
        if each[0] == "FROM":
            found.append([])
        found[-1].append(each)
    return found


def environment() -> dict[str, str]:
    """What the last stage sets."""
    (text,) = [rest for name, rest in stages()[-1] if name == "ENV"]
    return dict(word.split("=", 1) for word in text.split())


def test_the_image_has_a_fixed_base_and_runs_as_nobody_in_particular() -> None:
    for stage in stages():
        assert re.fullmatch(r"python:3\.\d+-slim( AS build)?", stage[0][1])
    last = stages()[-1]
    (user,) = [rest for name, rest in last if name == "USER"]
    assert int(user) > 1_000
    names = [name for name, _ in last]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert not any(name == "RUN" for name, _ in last[names.index("USER") :])
    assert ("ENTRYPOINT", '["execution-ledger"]') in last, "the process gets the signals itself"
    assert ("CMD", '["serve"]') in last


def test_what_is_copied_is_there_and_is_all_that_the_package_needs() -> None:
    copied = {
        source
        for name, rest in stages()[0]
        if name == "COPY"
        for source in rest.split()[:-1]
    }  # fmt: skip
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in kept), f"{source} is ignored"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {*project["tool"]["setuptools"]["package-dir"].values(), "pyproject.toml", "requirements.lock"}
    licenses = {each for each in project["project"]["license-files"] if each.partition("/")[0] not in needed}
    assert needed | {project["project"]["readme"], *licenses} == copied
    commands = [rest for name, rest in stages()[0] if name == "RUN"]
    assert any("--require-hashes -r requirements.lock" in command for command in commands)


def test_its_settings_are_ours_and_let_it_serve(tmp_path: Path) -> None:
    given = {name: value for name, value in environment().items() if name.startswith(PREFIX)}
    fields = {name.removeprefix(PREFIX).lower(): value for name, value in given.items()}
    assert fields.keys() <= Settings.model_fields.keys()
    settings = Settings.model_validate(fields)
    assert settings.auth, "other machines reach it"
    Server(settings, print)
    assert ("EXPOSE", str(settings.port)) in stages()[-1]


def test_its_health_check_tells_a_service_that_is_up_from_one_that_is_not(settings: Settings) -> None:
    (check,) = [rest for name, rest in stages()[-1] if name == "HEALTHCHECK"]
    command: list[str] = json.loads(check[check.index("[") :])
    assert command.pop(0) == "python"

    def is_healthy(port: int) -> bool:
        env = os.environ | {f"{PREFIX}PORT": str(port)}
        return subprocess.run([sys.executable, *command], env=env, capture_output=True).returncode == 0

    with running(settings) as address:
        port = urlsplit(address).port
        assert port is not None
        assert is_healthy(port)
    assert not is_healthy(port)


def test_compose_waits_for_the_database_and_its_schema_and_knows_no_secret() -> None:
    text = (ROOT / "compose.yaml").read_text()
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    for name in ("migrate", "ledger"):
        own = {each for each in services[name]["environment"] if each.startswith(PREFIX)}
        assert {each.removeprefix(PREFIX).lower() for each in own} <= Settings.model_fields.keys()
        assert services[name]["depends_on"]["database"] == {"condition": "service_healthy"}
    assert services["migrate"]["command"] == ["migrate"]
    assert services["ledger"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["ledger"]["ports"] == [f"127.0.0.1:{Settings().port}:{Settings().port}"]
    assert "ports" not in services["database"]
    assert "healthcheck" in services["database"]
    assert re.fullmatch(r"postgres:\d+", services["database"]["image"])
    passwords = re.findall(r"PASSWORD: (\S+)", text)
    assert len(passwords) == 2
    assert all(password.startswith("${POSTGRES_PASSWORD:?") for password in passwords)
    assert "password@" not in text
