"""What is missing is said in one line, and nothing is loaded before it is wanted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import nbtoolkit
from nbtoolkit import bridges
from nbtoolkit.bridges import _extras

OTHERS = {"lightning", "pytorch_lightning", "transformers", "accelerate", "dask", "distributed"}
WITHOUT = """
import importlib.util, json, sys
import nbtoolkit
nbtoolkit.watch
known, missing = importlib.util.find_spec, sys.argv[1].split(",")
importlib.util.find_spec = lambda name: None if name in missing else known(name)
told = {}
for name in ("lightning", "transformers"):
    try:
        __import__(f"nbtoolkit.bridges.{name}")
    except ImportError as error:
        told[name] = [type(error).__name__, str(error)]
print(json.dumps([told, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def test_a_missing_package_is_named_with_the_command_that_brings_it(root: Path) -> None:
    words = [sys.executable, "-c", WITHOUT, ",".join(OTHERS)]
    answer = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    told, modules = json.loads(answer.stdout.splitlines()[-1])
    assert not OTHERS & set(modules)  # neither by nbtoolkit itself
    assert told == {
        "lightning": ["MissingExtra", "nbtoolkit.bridges.lightning needs lightning or pytorch_lightning, which is not "
                      'installed: pip install "nbtoolkit-landscape[lightning]"'],
        "transformers": ["MissingExtra", "nbtoolkit.bridges.transformers needs transformers, which is not installed: "
                         'pip install "nbtoolkit-landscape[transformers]"'],
    }  # fmt: skip


def test_what_is_there_is_found_without_loading_it() -> None:
    assert _extras.installed("any", "no_such_package", "json") == ["json"]
    with pytest.raises(nbtoolkit.errors.LandscapeError, match="needs no_such_package, which is not installed"):
        _extras.installed("any", "no_such_package")


def test_bridges_say_what_there_is() -> None:
    assert dir(bridges) == ["dask", "lightning", "transformers"]
    with pytest.raises(AttributeError, match="no attribute 'keras'; it has: dask, lightning, transformers"):
        bridges.keras  # noqa: B018
