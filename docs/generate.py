"""Write the documents that are made from the code: `make docs`. A test fails where they are not up to date."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import cli_reference
import json_schemas
from execution_ledger.domain import EXECUTION_CATALOG, FIELDS, TERMINAL, TRANSITIONS, ExecutionStatus
from execution_ledger.infrastructure import Settings

HERE = Path(__file__).parent


def state_machine() -> str:
    """The transition table as a diagram and a list."""
    arrows = [f"    {row.source} --> {row.target}: {row.event}" for row in TRANSITIONS]
    ends = [f"    {status} --> [*]" for status in ExecutionStatus if status in TERMINAL]
    rows = [f"| {row.source} | `execution.{row.event}` | {row.target} |" for row in TRANSITIONS]
    return _page(
        "State machine",
        "An execution is created in any status, as a rule in `pending`. "
        "The same status again is no change and no event.",
        "Terminal is terminal: what comes later is refused, and only an explicit, reasoned correction "
        "(`execution.corrected`) sets a status in spite of this table.",
        "\n".join(("```mermaid", "stateDiagram-v2", "    [*] --> pending", *arrows, *ends, "```")),
        "\n".join(("| from | event | to |", "|---|---|---|", *rows)),
        "Terminal: " + ", ".join(f"`{status}`" for status in ExecutionStatus if status in TERMINAL) + ".",
        source="`TRANSITIONS` in `domain/status.py`",
    )


def events() -> str:
    """The catalog of events."""
    rows = [
        f"| `{event.TOPIC}` | {event.class_version} | {event.__doc__} | `{event.payload.__name__}` |"
        for event in EXECUTION_CATALOG
    ]
    return _page(
        "Events",
        "Stored names never change. `data` is flat JSON of the payload's fields that are set; payloads of the kind "
        "`Details` hold columns of `execution_history`, and merging them in order gives the row.",
        "\n".join(("| stored name | schema version | meaning | payload |", "|---|---|---|---|", *rows)),
        source="`domain/execution.py`",
    )


def fields() -> str:
    """The table of fields."""
    rows = []
    for name, field in FIELDS.items():
        kind = (
            f"{field.kind}, up to {field.max_length}" if field.kind == "text" and field.max_length < 1e6 else field.kind
        )
        cells = ("yes" if flag else "" for flag in (field.nullable, field.create, field.update, field.label))
        rows.append(f"| `{name}` | {kind} | {' | '.join(cells)} |")
    return _page(
        "Fields of an execution",
        "What `create_execution` and `update_execution` take. Fields of the last column may also change after the end: "
        "they are names and notes, no part of the outcome. Times without a zone are taken as UTC; "
        "`progress` is a fraction from 0 to 1.",
        "\n".join(("| field | kind | null | create | update | after the end |", "|---|---|---|---|---|---|", *rows)),
        source="`FIELDS` in `domain/details.py`",
    )


def settings() -> str:
    """The settings of the service and the command line."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `EXECUTION_LEDGER_{name.upper()}` | {default} | {field.description} |")
    return _page(
        "Settings",
        "Read from the environment by the service and the command line; an empty variable counts as none. "
        "The library takes arguments instead.",
        "\n".join(("| variable | default | meaning |", "|---|---|---|", *rows)),
        source="`infrastructure/settings.py`",
    )


def reference() -> str:
    """The reference of the command line."""
    return _page("Command line: reference", *cli_reference.parts(), source="the commands in `api/terminal`")


def schema(command: str) -> str:
    """The schema of what a command prints with `--json`."""
    return json.dumps(json_schemas.schema_of(command), indent=2, ensure_ascii=False) + "\n"


PAGES = {
    "state-machine.md": state_machine,
    "events.md": events,
    "fields.md": fields,
    "settings.md": settings,
    "cli-reference.md": reference,
    **{json_schemas.file_of(command): partial(schema, command) for command in json_schemas.ANSWERS},
}


def _page(title: str, *parts: str, source: str) -> str:
    note = f"<!-- Made from {source} by `make docs`; edit that, not this. -->"
    return "\n\n".join((f"# {title}", note, *parts)) + "\n"


if __name__ == "__main__":
    for old in (HERE / "schemas").glob("*.json"):
        old.unlink()
    for file, make in PAGES.items():
        (HERE / file).parent.mkdir(exist_ok=True)
        (HERE / file).write_text(make(), encoding="utf-8")
        print(f"docs/{file}")
