"""A process that rebuilds the history, tells how far it is once, and goes no further: `rebuilder.py URL`."""

from __future__ import annotations

import sys
import time

from execution_ledger.infrastructure import create_sync_engine
from execution_ledger.projections import Rebuild, RebuildProgress


def tell(progress: RebuildProgress) -> None:
    print(progress.done, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    Rebuild(create_sync_engine(sys.argv[1])).build(tell)
