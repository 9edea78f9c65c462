"""Documents that are made from the code are up to date, and the code in them runs as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import generate

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", generate.PAGES)
def test_a_page_made_from_the_code_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == generate.PAGES[page](), "run `make docs`"


def test_what_is_no_longer_made_is_gone() -> None:
    pages = [page for page in (ROOT / "docs").glob("*.md") if "by `make docs`" in page.read_text(encoding="utf-8")]
    made = {str(page.relative_to(ROOT / "docs")) for page in (*pages, *(ROOT / "docs" / "schemas").iterdir())}
    assert made == set(generate.PAGES)


def _python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


PAGES = [
    "README.md",
    "docs/audit.md",
    "docs/instrument.md",
    "docs/leases.md",
    "docs/moving-from-crud.md",
    "docs/projections.md",
    "docs/rebuild-and-verify.md",
    "docs/replay.md",
    "docs/statistics.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_the_python_examples_run_as_printed(tmp_path: Path, page: str) -> None:
    blocks = _python_blocks(ROOT / page)
    assert blocks
    for number, block in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        program = folder / "example.py"
        program.write_text(block, encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, program], cwd=folder, env=os.environ, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stderr
        for line in re.findall(r"# → (.*)", block):
            assert line in ran.stdout


def test_every_link_between_documents_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
