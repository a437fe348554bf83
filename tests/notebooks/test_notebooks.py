"""Every notebook runs from top to bottom in a real kernel, and its page is complete."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
WIDGETS = "application/vnd.jupyter.widget-state+json"


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_without_outputs(source: Path) -> None:
    cells = nbformat.read(source, as_version=4).cells
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_makes_its_page(source: Path, root: Path, tmp_path: Path) -> None:
    # A process of its own: a kernel client and a browser driver do not share one event loop.
    command = [sys.executable, "-m", "tests.notebooks.execute", str(source), str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    executed, page = tmp_path / source.name, tmp_path / f"{source.stem}.html"
    assert str(executed) in done.stdout
    assert str(page) in done.stdout
    widgets = nbformat.read(executed, as_version=4).metadata.widgets[WIDGETS]["state"]
    assert [state for state in widgets.values() if state["model_module"] == "anywidget"]
    assert "nbtk" in page.read_text(encoding="utf-8")
