"""The files for Binder agree with the project and with each other."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

# conda-forge's names of what the package index calls otherwise
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}

BADGE = re.compile(r"https://mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)/HEAD\?urlpath=lab/tree/notebooks/([\w.-]+\.ipynb)")

# Where JupyterLab finds the extension, and the first companion.
FOUND = """
from jupyter_core.paths import jupyter_path
from jupyterlab_server.config import get_federated_extensions
from nbtoolkit.lab.companions import companions

folder = get_federated_extensions(jupyter_path("labextensions"))["nbtoolkit-landscape"]["ext_dir"]
print(folder.removesuffix("/share/jupyter/labextensions"), min(companions()))
"""


@pytest.fixture
def binder(root: Path) -> Path:
    """The folder that repo2docker reads."""
    return root / "binder"


def test_environment_asks_for_what_the_project_asks_for(root: Path, binder: Path) -> None:
    declared = tomllib.loads((root / "pyproject.toml").read_text())
    needed = declared["project"]["dependencies"] + ["jupyterlab>=4.4", "ipykernel>=7.1", "scikit-learn>=1.5"]
    split = [re.fullmatch(r"([\w-]+)(.*)", requirement) for requirement in needed]
    expected = {CONDA_NAMES.get(match[1], match[1]) + match[2] for match in split if match}
    environment = yaml.safe_load((binder / "environment.yml").read_text())
    assert expected <= set(environment["dependencies"])
    assert set(needed[-3:]) <= set(declared["dependency-groups"]["notebook"])


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_can_run(binder: Path, name: str, shell) -> None:
    assert (binder / name).stat().st_mode & 0o111
    shell("bash", "-n", binder / name)


def test_start_sets_openmp_and_runs_what_it_is_given(binder: Path, shell) -> None:
    said = shell(binder / "start", "bash", "-c", 'echo "$OMP_WAIT_POLICY $1"', "-", "went on")
    assert said == "PASSIVE went on\n"


def test_overrides_are_settings_that_exist(binder: Path) -> None:
    share = Path(sysconfig.get_path("data")) / "share/jupyter"
    for plugin, settings in json.loads((binder / "overrides.json").read_text()).items():
        package, name = plugin.split(":")
        (schema,) = [*share.glob(f"lab*/**/schemas/{package}/{name}.json")]
        properties = json.loads(schema.read_text())["properties"]
        assert set(settings) <= set(properties)


def test_the_package_is_built_and_found_as_postbuild_does_it(root: Path, tmp_path: Path, shell) -> None:
    clone, prefix = tmp_path / "clone", tmp_path / "prefix"
    made = shutil.ignore_patterns("static", "node_modules", "__pycache__", ".ipynb_checkpoints")
    for name in ("nbtoolkit", "js", "notebooks", "binder"):
        shutil.copytree(root / name, clone / name, ignore=made)
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(root / name, clone)
    shell(sys.executable, "-m", "venv", "--without-pip", prefix)
    python = prefix / "bin" / "python"
    # What the environment holds on Binder is lent; the build finds its tools there too.
    installed = Path(shell(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (installed / "lent.pth").write_text(sysconfig.get_path("purelib"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "PYTHON"))}
    environment = kept | {
        "PATH": f"{prefix / 'bin'}:{os.environ['PATH']}", "NB_PYTHON_PREFIX": str(prefix), "HOME": str(tmp_path),
        "PIP_NO_BUILD_ISOLATION": "0",
    }  # fmt: skip
    shell(clone / "binder" / "postBuild", cwd=clone, env=environment)

    assert not (clone / "js" / "node_modules").exists()
    assert (prefix / "share/jupyter/lab/settings/overrides.json").exists()
    listing = "jupyter_server.extension.serverextension"
    done = subprocess.run(
        [python, "-m", listing, "list"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert re.search(r"nbtoolkit\.lab.*enabled", done.stdout + done.stderr)
    found = shell(python, "-c", FOUND, env=environment, cwd=tmp_path).split()
    assert found == [str(prefix), "01_first_run.ipynb"]


def test_badges_open_their_own_notebook_of_one_repository(root: Path) -> None:
    badges = {path.name: BADGE.findall(path.read_text()) for path in (root / "notebooks").glob("*.ipynb")}
    assert {name: [notebook for _, notebook in found] for name, found in badges.items()} == {
        name: [name] for name in badges
    }
    in_readme = BADGE.findall((root / "README.md").read_text())
    assert len({repository for found in [*badges.values(), in_readme] for repository, _ in found}) == 1
    assert all((root / "notebooks" / notebook).exists() for _, notebook in in_readme)
