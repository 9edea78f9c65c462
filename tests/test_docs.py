"""Documents that are made from the code are up to date, and the code in them runs as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def _generator() -> ModuleType:
    spec = util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["state-machine.md", "events.md", "fields.md", "settings.md"])
def test_a_page_made_from_the_code_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == _generator().PAGES[page](), "run `make docs`"


def test_every_generated_page_is_checked() -> None:
    assert set(_generator().PAGES) == {"state-machine.md", "events.md", "fields.md", "settings.md"}


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
