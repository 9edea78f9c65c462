"""Rows that are built beside those of a ledger: in the same tables, under a name that no ledger may have.

So they have the same indexes and constraints, need no table of their own, and no reader comes across them.
"""

from __future__ import annotations

from ..domain.limits import RESERVED

_BUILT = f"{RESERVED}built{RESERVED}"
_EARLIER = f"{RESERVED}earlier{RESERVED}"


def built(ledger: str) -> str:
    """The name under which a ledger's rows are built anew."""
    return f"{_BUILT}{ledger}"


def earlier(ledger: str) -> str:
    """The name under which the rows are kept that were replaced."""
    return f"{_EARLIER}{ledger}"


def real_ledger(name: str) -> str:
    """The ledger that such a name stands for; any other name is a ledger's own."""
    return name.rpartition(RESERVED)[2]
