"""How many examples Hypothesis makes: a third of what is written in an ordinary run, several times that in a soak."""

from __future__ import annotations

import os

_FACTOR = float(os.environ.get("EXECUTION_LEDGER_TEST_EXAMPLES", "0.35"))


def examples(number: int) -> int:
    """As many as this run can afford."""
    return max(1, round(number * _FACTOR))
