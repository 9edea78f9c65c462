"""What a measurement depends on: the machine and the programs, without names or paths."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from time import perf_counter

import psutil

from .scale import Scale
from .stores import Stores

_PROGRAMS = ("eventsourcing", "SQLAlchemy", "psycopg", "aiosqlite")


def collect_facts(stores: Stores, scale: Scale) -> dict[str, str]:
    """As they are now."""
    return {
        "Rounds": f"{scale.rounds} after a warm-up; those with a time of {scale.seconds:g} s for each contender",
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Processor cores": str(os.cpu_count()),
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "System": f"{platform.system()} on {platform.machine()}",
        "A flush of 8 KiB": f"{_flush():.2f} ms (median of 100, by fsync)",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, asyncio's own event loop",
        "PostgreSQL": stores.version(),
        "SQLite": sqlite3.sqlite_version,
        "Libraries": ", ".join(f"{name} {version(name)}" for name in _PROGRAMS),
    }


def _flush() -> float:
    """Milliseconds that a small write takes to be safe, where the databases are as well."""
    with tempfile.NamedTemporaryFile() as file:
        times: list[float] = []
        for _ in range(100):
            file.write(b"x" * 8192)
            file.flush()
            begin = perf_counter()
            os.fsync(file.fileno())
            times.append(perf_counter() - begin)
        return median(times) * 1000
