"""What the README tells a newcomer to type works as written."""

import re
import sys
from pathlib import Path

# Each block is a cell of one shell, so that magics work as they do in a notebook.
CELLS = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in sys.stdin.read().split("\\0"):
    shell.run_cell(cell).raise_error()
"""


def first_run(readme: str) -> list[str]:
    """The Python blocks of the section "First run"."""
    section = re.split(r"^## .*first run.*$", readme, flags=re.MULTILINE | re.IGNORECASE)[1].split("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)


def test_first_run_runs(root: Path, tmp_path: Path, shell) -> None:
    cells = first_run((root / "README.md").read_text())
    assert cells, "README.md has no ```python block under '## First run'"
    shell(sys.executable, "-c", CELLS, input="\0".join(cells), cwd=tmp_path)


def test_blocks_are_found() -> None:
    readme = "## A\n```python\n1\n```\n## The first run\n```python\n2\n```\n```bash\n3\n```\n## B\n```python\n4\n```\n"
    assert first_run(readme) == ["2\n"]
