"""The Chromium that the page is tested in: the system's. `python tests/support/chromium.py --install` gets one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VARIABLE = "EXECUTION_LEDGER_TEST_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_ELSEWHERE = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find_chromium() -> str | None:
    """The path of a Chromium; None where there is none."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return given
    for name in _NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    for path in (*_ELSEWHERE, *_of_playwright()):
        if Path(path).exists():
            return path
    return None


def _of_playwright() -> list[str]:
    """What `playwright install chromium` left."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return [playwright.chromium.executable_path]


def install() -> None:
    """Get one from the system's package manager, where this user may, or else from Playwright's installer."""
    if shutil.which("apt-get") is not None and os.geteuid() == 0:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            if subprocess.run(["apt-get", *arguments], env=environment, stdout=sys.stderr).returncode:
                break
        else:
            return
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], stdout=sys.stderr)


def main() -> int:
    """Tell the path; status 1 where there is none."""
    found = find_chromium()
    if found is None and "--install" in sys.argv:
        install()
        found = find_chromium()
    if found is None:
        print(
            f"no Chromium found: install `chromium` with the system's package manager, or name one in {VARIABLE}",
            file=sys.stderr,
        )
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
