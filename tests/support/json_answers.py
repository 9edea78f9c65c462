"""What commands print with `--json`, compared with the schemas that are published in `docs/schemas`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def check_answer(command: str, answer: Any) -> None:
    """Fail where the answer is not as the schema says, or has a key that it does not know."""
    _validator(command).validate(answer)


def command_of(arguments: Sequence[str]) -> str:
    """The name of the command that a command line begins with."""
    two = " ".join(arguments[:2])
    return two if _file(two).exists() else arguments[0]


@cache
def _validator(command: str) -> Any:
    schema = json.loads(_file(command).read_text(encoding="utf-8"))
    for definition in schema["$defs"].values():
        definition["additionalProperties"] = False
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def _file(command: str) -> Path:
    return SCHEMAS / f"{command.replace(' ', '-')}.json"
