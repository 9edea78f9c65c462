"""The reference of the command line, made from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import json_schemas
from execution_ledger.api.cli import command as whole
from execution_ledger.api.terminal.answers import ANSWERS, LINES
from execution_ledger.api.terminal.errors import EXIT_CODES, MEANINGS_OF_1, RECORD_EXIT_CODES, SIGNAL_EXIT_CODES
from execution_ledger.api.terminal.examples import EXAMPLES, PROGRAM
from execution_ledger.api.terminal.options import WHERE
from execution_ledger.api.terminal.places import calls_services, why_database

_EXTRA = re.compile(r"(.*?)  \[([^\]]*)\]$", re.DOTALL)
_VARIABLE = re.compile(r"EXECUTION_LEDGER_\w+")


def parts() -> Iterator[str]:
    """The paragraphs of the page, after its title."""
    program = whole()
    yield (
        "What `execution-ledger COMMAND --help` says of each command, in one place. How they work together: "
        "[command line](cli.md); all environment variables: [settings](settings.md)."
    )
    yield _listed(commands())
    yield "## Where and who"
    yield "Options of most commands; they stand before or after its name."
    seen: dict[str, Any] = {}
    for _, command in [("", program), *commands()]:
        seen.update({each.name: each for each in command.params if each.name not in seen and _is_shared(each)})
    yield _options(seen.values())
    yield "## Exit status"
    yield _table("status", "meaning", (EXIT_CODES | SIGNAL_EXIT_CODES).items())
    yield "[`record`](#record) ends with the status of the command that it runs."
    yield "An error is one line on the error stream, with the remedy. In a pipe there are no colors, nor any bars."
    for path, command in commands():
        yield from _command(path, command)


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command and group with the words that name it, in order of the alphabet."""
    group = group or whole()
    for name, command in sorted(group.commands.items()):
        named = f"{path} {name}".lstrip()
        yield named, command
        if hasattr(command, "commands"):
            yield from commands(command, named)


def _command(path: str, command: Any) -> Iterator[str]:
    yield f"## `{path}`"
    yield from _paragraphs(command.help)
    yield f"```\n{_synopsis(path, command)}\n```"
    if hasattr(command, "commands"):
        yield _listed(commands(command, path))
    else:
        yield from _details(path, command)
    yield "\n".join(("```console", *(f"$ {PROGRAM} {line}" for line in EXAMPLES[path]), "```"))


def _listed(named: Iterator[tuple[str, Any]]) -> str:
    rows = [(f"[`{path}`](#{path.replace(' ', '-')})", _summary(each)) for path, each in named]
    return _table("command", "does", rows)


def _details(path: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if arguments:
        yield _table("argument", "meaning", [(f"`{_name(each)}`", _help(each)[0]) for each in arguments])
    own = [each for each in command.params if each.param_type_name == "option" and not _is_shared(each)]
    if own:
        yield _options(own)
    facts = list(_facts(path, command))
    if facts:
        yield "\n".join(f"- {fact}" for fact in facts)
    if path == "record":
        codes = {"the command's own": "it ran", 2: EXIT_CODES[2]} | RECORD_EXIT_CODES
        yield _table("exit status", "meaning", codes.items())


def _facts(path: str, command: Any) -> Iterator[str]:
    shared = [f"[`{each.opts[0]}`](#where-and-who)" for each in command.params if _is_shared(each)]
    if shared:
        yield f"Also {', '.join(shared)}."
    variables = sorted({name for each in command.params for name in _VARIABLE.findall(each.help or "")})
    if variables:
        yield f"Environment: {', '.join(f'`{name}`' for name in variables)}."
    if not calls_services(command) and (why := why_database(path)):
        yield f"On a database only: {why}."
    if path in ANSWERS:
        schema = f"[schema]({json_schemas.file_of(path)})"
        yield f"With `--json`: one object{' a line' if path in LINES else ''}, {schema}."
    if path in MEANINGS_OF_1:
        yield f"Exit status 1: {MEANINGS_OF_1[path]}; or the ledger refused."


def _synopsis(path: str, command: Any) -> str:
    words = [PROGRAM, path, command.options_metavar]
    for each in command.params:
        if each.param_type_name == "argument":
            words.append(_name(each) if each.required else f"[{_name(each)}]")
    if hasattr(command, "commands"):
        words.append("COMMAND")
    return " ".join(words)


def _options(options: Any) -> str:
    rows = []
    for each in options:
        names, (text, extra) = each.get_help_record(_context())[0], _help(each)
        default = re.search(r"default: \(?([^;)]*)\)?", extra)
        bounds = "required" if each.required else _bounds(re.sub(r"default: (\([^)]*\)|[^;]*)(; )?", "", extra))
        meaning = f"{text} ({bounds})" if bounds else text
        rows.append((f"`{_plain(names)}`", meaning, default[1] if default else ""))
    return _table("option", "meaning", "default", rows)


def _help(parameter: Any) -> tuple[str, str]:
    """The text, and what is said of defaults and bounds."""
    _, text = parameter.get_help_record(_context()) or ("", parameter.help or "")
    found = _EXTRA.match(text)
    text, extra = (found[1], found[2]) if found else (text, "")
    return text.replace("|", "\\|"), extra


def _bounds(text: str) -> str:
    """`1<=x<=9` and `x>=1` in words."""
    between = re.fullmatch(r"(.+)<=x<=(.+)", text)
    return f"{between[1]} to {between[2]}" if between else text.replace("x>=", "at least ")


def _context() -> Any:
    return whole().make_context(PROGRAM, [], resilient_parsing=True)


def _name(argument: Any) -> str:
    return argument.metavar or argument.name.upper()


def _plain(names: str) -> str:
    return names.replace("|", "\\|")


def _is_shared(parameter: Any) -> bool:
    return getattr(parameter, "rich_help_panel", None) == WHERE


def _summary(command: Any) -> str:
    return command.short_help or (command.help or "").partition("\n\n")[0].replace("\n", " ")


def _paragraphs(text: str) -> Iterator[str]:
    for each in text.split("\n\n"):
        yield " ".join(each.split())


def _table(*given: Any) -> str:
    *names, rows = given
    lines = [names, *([str(cell) for cell in row] for row in rows)]
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join((head, f"|{'---|' * len(names)}", *body))
