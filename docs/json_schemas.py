"""JSON Schemas of what commands print with `--json`, made from the types of it."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec

from execution_ledger.api.http.schemas import DESCRIPTIONS
from execution_ledger.api.terminal.answers import ANSWERS, LINES, Execution


def schema_of(command: str) -> dict[str, Any]:
    """The schema of one object that a command prints."""
    kinds = ANSWERS[command]
    found, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    structs = {struct.__name__: struct for kind in kinds for struct in _structs(kind)}
    for name, definition in definitions.items():
        _complete(definition, structs[name])
    what = "an object on each line" if command in LINES else "one object"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"execution-ledger {command} --json",
        "description": f"Printed: {what}. Keys may be added in later versions; times are UTC.",
        **(found[0] if len(found) == 1 else {"oneOf": list(found)}),
        "$defs": dict(sorted(definitions.items())),
    }


def file_of(command: str) -> str:
    """Where it is published, below `docs`."""
    return f"schemas/{command.replace(' ', '-')}.json"


def _complete(definition: dict[str, Any], struct: Any) -> None:
    """All keys are always there; times have a format, and members the words that are written below them."""
    words = _words(struct)
    hints = typing.get_type_hints(struct)
    for name, member in definition["properties"].items():
        member.pop("default", None)
        if datetime in (hints[name], *typing.get_args(hints[name])):
            for each in member.get("anyOf", [member]):
                if each.get("type") == "string":
                    each["format"] = "date-time"
        if name in words:
            member["description"] = words[name]
    definition["required"] = list(definition["properties"])


def _words(struct: Any) -> dict[str, str]:
    """What the source says below each field; of the fields of an execution, what the HTTP API says of them."""
    words = dict(DESCRIPTIONS) if issubclass(struct, Execution) else {}
    for base in reversed(struct.__mro__):
        words |= _words_of_source(base)
    return words


@cache
def _words_of_source(kind: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # made, not written
        return {}
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    words = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = " ".join(str(ast.literal_eval(below.value)).split())
            words[field.target.id] = re.sub(r"\bNone\b", "null", text)
    return words


def _structs(kind: Any, seen: frozenset[Any] = frozenset()) -> Iterator[Any]:
    """Every struct that a type is made of."""
    if kind in seen:
        return
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) and issubclass(kind, msgspec.Struct):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from _structs(hint, seen | {kind})
    for each in typing.get_args(kind):
        yield from _structs(each, seen)
