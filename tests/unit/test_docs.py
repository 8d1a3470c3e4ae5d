"""The docs are current, their notebooks run, and the newcomer's path is short."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def test_cli_reference_is_current() -> None:
    check = subprocess.run([sys.executable, str(DOCS / "generate_cli.py"), "--check"], timeout=120)
    assert check.returncode == 0, "run python docs/generate_cli.py"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert set(re.findall(r": ([\w/-]+\.md)", text)) == pages


def test_newcomer_reaches_a_pareto_plot_in_five_commands() -> None:
    text = (DOCS / "tutorial.md").read_text("utf-8")
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block
    commands = block[1].strip().splitlines()
    plots = [number for number, line in enumerate(commands, start=1) if "explore" in line and "--plot" in line]
    assert 1 <= plots[0] <= 5


def test_pages_need_no_network() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in text
    assert "extra_javascript" not in text
    assert "extra_css" not in text


@pytest.mark.skipif(importlib.util.find_spec("mkdocstrings") is None, reason="needs the extra docs")
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?://(?!.*canonical)', page)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebooks_are_kept_with_their_outputs(notebook: Path) -> None:
    cells = [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["execution_count"] for cell in cells)
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebooks_execute(notebook: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbconvert", reason="needs the extra docs")
    pytest.importorskip("ipykernel", reason="needs the extra docs")
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output-dir", str(tmp_path)]
    done = subprocess.run([*command, str(notebook)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
