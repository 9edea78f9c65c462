"""Where `--url` names a web server that is no execution-ledger service."""

from __future__ import annotations

import re

import pytest

from support.other_server import answering

from .conftest import Cli

PAGE = b"<!doctype html><title>Welcome</title>"
ANSWERS = [(PAGE, "text/html", 200), (b'{"status": "ok"}', "application/json", 200), (PAGE, "text/html", 404)]
COMMANDS = [
    "status j", "history", "timeline j", "ledger", "tail --after 0", "tail", "replay j", "diff j 1", "audit", "stats",
    "export events -  --format jsonl", "export events x.csv", "import openlineage events.ndjson", "projections",
    "webhooks list", "webhooks add https://example.com",
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS, ids=["page", "other JSON", "missing"])
def test_every_command_says_so(cli: Cli, answer: tuple[bytes, str, int]) -> None:
    (cli.folder / "events.ndjson").write_text("{}")
    with answering(*answer) as address:
        host = address.removeprefix("http://")
        for command in COMMANDS:
            told = cli.text(*command.split(), "--url", address, status=3)
            assert re.fullmatch(
                rf"error: {host} answered \d+ .+, but not as an execution-ledger service does\. Check the address\.\n",
                told,
            ), command
        status, out, err = cli.call("doctor", "--url", address)
        assert (status, err) == (1, "")
        assert f"{host} answered {answer[2]}" in out
        ran = cli.run("record", "--url", address, "--", "touch", "ran")
        assert (ran.returncode, ran.stderr.decode().endswith("(nothing was run)\n")) == (125, True)
    assert {path.name for path in cli.folder.iterdir()} == {"events.ndjson"}


def test_an_address_without_anybody_is_told_with_its_port(cli: Cli) -> None:
    told = cli.text("ledger", "--url", "http://127.0.0.1:1", status=3)
    assert told.startswith("error: 127.0.0.1:1 does not answer: ")


def test_a_job_named_by_dots_is_not_there(cli_anywhere: Cli) -> None:
    for job in (".", ".."):
        for command in ("status", "timeline"):
            assert f"execution {job!r}" in cli_anywhere.text(command, job, status=1)
