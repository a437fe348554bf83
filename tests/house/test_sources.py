"""Rules of the house that no linter knows."""

import ast
import json
import re
import statistics
from importlib.metadata import version
from pathlib import Path

LONGEST = 300
MEDIAN = 120


def test_files_are_short(sources: list[Path]) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources if path.suffix in (".py", ".ts")}
    assert not {path: length for path, length in lengths.items() if length > LONGEST}
    assert statistics.median(lengths.values()) < MEDIAN


def raises_with_several_arguments(source: str) -> list[int]:
    """Lines that raise an exception with more than one argument: it would print as a tuple."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and len(node.exc.args) > 1
    ]


def test_exceptions_take_one_argument(root: Path) -> None:
    found = {path: raises_with_several_arguments(path.read_text()) for path in (root / "nbtoolkit").rglob("*.py")}
    assert not {path: lines for path, lines in found.items() if lines}


def test_several_arguments_are_seen() -> None:
    assert raises_with_several_arguments('raise ValueError("no", 1)\nraise ValueError("yes")') == [1]


def test_the_version_stands_in_one_place(root: Path) -> None:
    import nbtoolkit

    declared = version("nbtoolkit-landscape")
    assert nbtoolkit.__version__ == declared
    assert f'version = "{declared}"' in (root / "pyproject.toml").read_text()
    assert not [path for path in (root / "nbtoolkit").rglob("*.py") if declared in path.read_text()]
    assert "version" not in json.loads((root / "js/package.json").read_text())
    assert f"## {declared}" in (root / "CHANGELOG.md").read_text()


def test_no_path_of_this_machine(sources: list[Path], root: Path) -> None:
    private = re.compile(rf"{re.escape(str(root))}|/(?:root|home)/\w")
    assert not [path for path in sources if private.search(path.read_text())]


def test_the_lock_file_names_no_registry(root: Path) -> None:
    packages = json.loads((root / "js/package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_the_one_command_can_run(root: Path) -> None:
    assert (root / ".ci/run").stat().st_mode & 0o111
