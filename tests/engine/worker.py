"""A process that projects until it is killed: `worker.py URL`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from execution_ledger.infrastructure import create_sync_engine
from execution_ledger.projections import Projector
from support.counting import make_counting


async def main(url: str) -> None:
    engine = create_sync_engine(url)
    projections = [make_counting(engine, name) for name in ("counting", "other")]
    projections[1].types = frozenset()
    await Projector(engine, projections, batch=20, poll=0.02).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
