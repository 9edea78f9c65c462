"""The page on the command line tells of every command, every option and every exit status."""

from __future__ import annotations

import re
from pathlib import Path

from execution_ledger.api.cli import command as whole
from execution_ledger.api.terminal.errors import EXIT_CODES, RECORD_EXIT_CODES

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def test_every_command_and_every_option_is_told() -> None:
    commands = whole().commands
    assert commands
    for name, command in commands.items():
        assert re.search(rf"execution-ledger {name}\b", PAGE), name
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("-") or f"`{option}" in PAGE, f"{name} {option}"


def test_every_exit_status_is_told_as_the_help_tells_it() -> None:
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning}" in PAGE
    for code in RECORD_EXIT_CODES:
        assert str(code) in PAGE
