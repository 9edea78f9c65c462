"""A readable name for a run, made from its configuration alone: the same configuration, the same name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MAX_LENGTH = 60
"""Characters of a name."""

_NAMES = (
    "run_name",
    "name",
    "title",
    "job",
    "job_name",
    "crew",
    "crew_name",
    "flow",
    "flow_name",
    "pipeline",
    "script",
)
"""Keys that name the whole run; the first that holds something wins."""

_PARTS = (("agents_yaml", "agents"), ("tasks_yaml", "tasks"))
"""Keys that hold what the run is made of, each by its names."""


def describe_run(config: Mapping[str, Any]) -> str:
    """A name of at most 60 characters, as `nightly report` or `researcher, writer: find, tell (gpt-x)`."""
    subject = next((name for key in _NAMES if (name := _name(config.get(key)))), "")
    if not subject:
        agents, tasks = (", ".join(_first_names(config, keys)) for keys in _PARTS)
        subject = ": ".join(filter(None, (agents, tasks)))
    model = _name(config.get("model"))
    if not subject:
        return _shorten(f"run with {model}" if model else "run", MAX_LENGTH)
    if not model:
        return _shorten(subject, MAX_LENGTH)
    # The model tells runs of one kind apart, so it stays whole where it is short.
    tail = f" ({_shorten(model, 24)})"
    return _shorten(subject, MAX_LENGTH - len(tail)) + tail


def _name(value: Any) -> str:
    """The text of a name, or of the name inside an object; empty where there is none."""
    if isinstance(value, Mapping):
        return next((name for key in ("name", "title", "role", "id") if (name := _name(value.get(key)))), "")
    # What is no printable text in one line would only be refused, or spoil a table.
    return " ".join("".join(c if c.isprintable() else " " for c in value).split()) if isinstance(value, str) else ""


def _first_names(config: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    parts = next((config[key] for key in keys if config.get(key)), ())
    if isinstance(parts, Mapping):
        names = [_name(key) for key in parts]
    elif isinstance(parts, (list, tuple)):
        names = [_name(value) for value in parts]
    else:
        names = [_name(parts)]
    names = [name for name in names if name]
    yield from names[:3]
    if len(names) > 3:
        yield f"+{len(names) - 3}"


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
