"""Examples for the help of each command, and for the reference: a test runs the parser over them."""

from __future__ import annotations

from .errors import EXIT_CODES, MEANINGS_OF_1, RECORD_EXIT_CODES

PROGRAM = "execution-ledger"

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "record -- make test",
        "record --step build -- make --step test -- make test",
        "history --status failed",
        "timeline make-test-x7k2m9",
    ),
    "audit": ("audit --actor ada --field status --since 2026-01-31", "audit --text 'disk full' --json"),
    "completion": ("completion bash > ~/.local/share/bash-completion/completions/execution-ledger",),
    "diff": ("diff nightly-x7k2m9 1", "diff nightly-x7k2m9 2026-01-31T08:00Z 2026-01-31T09:00Z"),
    "doctor": ("doctor", "doctor --url http://127.0.0.1:8470 --json"),
    "export": ("export events events.jsonl", "export ledger ledger.jsonl.gz"),
    "export events": (
        "export events events.parquet --since 2026-01-01",
        "export events - --format csv --type deleted > deleted.csv",
    ),
    "export ledger": ("export ledger ledger.jsonl.gz --database postgresql://ledger@db/ledger",),
    "history": (
        "history --status failed --limit 50",
        "history --ended-since 24h",
        "history --name-prefix nightly --json",
    ),
    "import": ("import openlineage events.ndjson", "import crud sqlite:///old.db --dry-run"),
    "import crud": (
        "import crud postgresql://app@db/app --table executionhistory --dry-run",
        "import crud sqlite:///old.db --map run_name=title --status SUCCESS=completed",
    ),
    "import ledger": ("import ledger ledger.jsonl.gz --database sqlite:///copy.db",),
    "import openlineage": (
        "import openlineage events.ndjson",
        "import openlineage *.ndjson --url http://127.0.0.1:8470",
        "import openlineage - < events.ndjson",
    ),
    "keys": ("keys create nightly --scope read --scope write", "keys list"),
    "keys create": ("keys create nightly --scope read --scope write --days 90",),
    "keys list": ("keys list", "keys list --ledger blue --json"),
    "keys revoke": ("keys revoke 0123456789abcdef",),
    "keys rotate": ("keys rotate 0123456789abcdef --overlap-hours 24",),
    "ledger": ("ledger", "ledger --json"),
    "migrate": ("migrate --database postgresql://ledger@db/ledger",),
    "projections": ("projections", "projections --retry run_statistics"),
    "reap": ("reap", "reap --watch --ledger blue"),
    "rebuild": ("rebuild --check", "rebuild run_statistics"),
    "record": (
        "record -- make test",
        "record --name nightly --attribute team=blue -- ./nightly.sh --full",
        "record --step build -- make --step test -- make test",
        "record --url http://127.0.0.1:8470 -- ./nightly.sh",
    ),
    "replay": ("replay nightly-x7k2m9 --speed 10", "replay nightly-x7k2m9 --speed 0 --json"),
    "serve": ("serve --port 8470", "serve --port 0 --json"),
    "stats": ("stats --since 7d --by name", "stats --since 24h --by hour --name nightly"),
    "status": ("status nightly-x7k2m9", "status 7 --json"),
    "tail": ("tail --type failed", "tail --after 0 --json"),
    "timeline": ("timeline nightly-x7k2m9 --notes full", "timeline 7 --from 200 --limit 100"),
    "verify": ("verify", "verify --no-hashes --json"),
    "webhooks": ("webhooks add https://example.com/hooks --type failed", "webhooks list"),
    "webhooks add": (
        "webhooks add https://example.com/hooks --type failed --type completed --description 'the pager'",
    ),
    "webhooks change": ("webhooks change 0123456789abcdef --to https://example.com/2 --all-types",),
    "webhooks dead": ("webhooks dead 0123456789abcdef", "webhooks dead 0123456789abcdef --after 100 --json"),
    "webhooks disable": ("webhooks disable 0123456789abcdef",),
    "webhooks drop": ("webhooks drop 0123456789abcdef 17 18", "webhooks drop 0123456789abcdef --all"),
    "webhooks enable": ("webhooks enable 0123456789abcdef",),
    "webhooks list": ("webhooks list", "webhooks list --url http://127.0.0.1:8470"),
    "webhooks remove": ("webhooks remove 0123456789abcdef",),
    "webhooks replay": ("webhooks replay 0123456789abcdef 17", "webhooks replay 0123456789abcdef --all"),
    "webhooks rotate": ("webhooks rotate 0123456789abcdef --overlap-hours 24",),
    "webhooks show": ("webhooks show 0123456789abcdef",),
    "webhooks test": ("webhooks test 0123456789abcdef",),
}
"""Command or group → command lines without the program's name; the empty one is the program."""


def epilog(path: str) -> str:
    """What stands below the help of a command."""
    lines = ["[dim]Examples[/dim]", *(f"  {PROGRAM} {_escape(line)}" for line in EXAMPLES.get(path, ()))]
    if path == "":
        lines += _statuses("Exit status (of `record`: that of the command that it runs)", EXIT_CODES)
    if path in MEANINGS_OF_1:
        lines += _statuses("Exit status", {1: MEANINGS_OF_1[path]})
    if path == "record":
        lines += _statuses("Exit status: the command's own, and", RECORD_EXIT_CODES)
    return "\n".join(lines)


def _statuses(about: str, codes: dict[int, str]) -> list[str]:
    return ["", f"[dim]{about}[/dim]", *(f"  {code:<3}  {meaning}" for code, meaning in codes.items())]


def _escape(line: str) -> str:
    from rich.markup import escape

    return escape(line)
