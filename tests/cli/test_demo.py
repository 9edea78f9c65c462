"""`make demo` tells a small story by itself, as often as one likes."""

from __future__ import annotations

import re
import subprocess
import sys

from .conftest import Cli


def test_the_demo_runs_by_itself_twice_and_ends_with_history_timeline_and_root(cli: Cli) -> None:
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-m", "execution_ledger.api.demo"],
            cwd=cli.folder,
            env=cli.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr.decode()
    text = ran.stdout.decode()
    assert "6 executions: 4 completed · 2 failed" in text
    assert re.search(r"^load +✘ ", text, re.MULTILINE)
    assert "Not started, since the run had failed: notify" in text
    assert re.search(r"^Size +\d+ events", text, re.MULTILINE)
    assert re.search(r"^Root +[0-9a-f]{64}$", text, re.MULTILINE)
    assert [path.name for path in cli.folder.iterdir()] == [".demo"]  # nothing but its own folder
    cli.url = f"sqlite:///{cli.folder}/.demo/ledger.db"
    assert [run.status for run in cli.executions()] == [
        *("completed", "completed", "failed", "completed", "failed", "completed")
    ]
    assert cli.executions()[5].parent_job_id == "nightly-1"
