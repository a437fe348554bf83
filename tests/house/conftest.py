"""The distributions, built once for all tests of this folder."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Shell = Callable[..., str]


@pytest.fixture(scope="session")
def shell() -> Shell:
    """Run a command; its standard output. When it fails the test fails with what it said."""

    def run(*command: str | Path, **options: object) -> str:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)  # type: ignore[call-overload]
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def sources(root: Path) -> list[Path]:
    """Every text file that people wrote here."""
    folders = ("nbtoolkit", "js", "tests", "notebooks", "binder", ".ci")
    files = [path for path in root.iterdir() if path.is_file()]
    files += [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    made = {"node_modules", "static", "__pycache__", ".ipynb_checkpoints", "dist"}
    return [path for path in files if not made & set(path.relative_to(root).parts) and path.suffix != ".png"]


@pytest.fixture(scope="session")
def distributions(root: Path, shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from that sdist alone."""
    if not (root / "nbtoolkit/static/board.js").exists():
        pytest.skip("no bundle: run `make js`")
    folder = tmp_path_factory.mktemp("dist")
    shell(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, root)
    return folder


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    """The wheel."""
    (found,) = distributions.glob("*.whl")
    return found
