"""The files for Binder agree with the project and with each other."""

import json
import re
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

# conda-forge's names of what the package index calls otherwise
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}


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
