"""`keys`, as an operator runs it."""

from __future__ import annotations

import json

from .conftest import Cli


def test_keys_are_made_shown_once_listed_rotated_and_revoked(cli_on_both: Cli) -> None:
    cli = cli_on_both
    cli.run("record", "--", "true")
    made = json.loads(cli.text("keys", "create", "ci", "--scope", "read", "--scope", "write", "--days", "30", "--json"))
    key_id = made["key"]["key_id"]
    assert made["secret"].startswith(f"elk_{key_id}_")
    assert made["key"]["scopes"] == ["read", "write"]
    listed = cli.text("keys", "list")
    assert made["secret"] not in listed
    assert listed.splitlines()[1].split()[:5] == [key_id, "ci", "read", "write", "active"]
    rotated = cli.text("keys", "rotate", key_id, "--overlap-hours", "2").splitlines()
    assert rotated[1].startswith("elk_")
    other = rotated[1].split("_")[1]
    assert cli.text("keys", "revoke", other) == f"Revoked: ci ({other})\n"
    states = {each["key_id"]: each["state"] for each in json.loads(cli.text("keys", "list", "--json"))["keys"]}
    assert states == {key_id: "active", other: "revoked"}


def test_wrong_keys_are_refused_in_one_line(cli: Cli) -> None:
    missing = cli.run("keys", "list")
    assert missing.returncode == 3
    cli.run("record", "--", "true")
    assert cli.text("keys", "list") == "Ledger default has no key yet.\n"
    wrong = cli.run("keys", "create", "ci", "--scope", "root")
    assert (wrong.returncode, wrong.stderr.decode()) == (
        2, "error: --scope: 'root' is no scope. Use: read, write, audit, admin.\n",
    )  # fmt: skip
    unknown = cli.run("keys", "revoke", "abc")
    assert unknown.returncode == 1
    assert unknown.stderr.decode().startswith("error: There is no API key 'abc' in ledger 'default'.")
