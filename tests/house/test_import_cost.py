"""``%load_ext nbtoolkit`` costs nothing until something is watched, and a server nothing at all."""

import json
import os
import sys
from pathlib import Path

HEAVY = {"torch", "bokeh", "xarray", "zarr", "anywidget", "ipywidgets", "matplotlib", "pandas", "numpy"}

# A real shell in a fresh interpreter; what it imported by itself does not count.
LOAD = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded(shell, extension: str, path: Path, home: Path) -> set[str]:
    """Top-level modules that loading an IPython extension imports."""
    environment = os.environ | {"PYTHONPATH": str(path), "IPYTHONDIR": str(home)}
    answer = shell(sys.executable, "-c", LOAD, extension, env=environment, cwd=path)
    return {name.split(".")[0] for name in json.loads(answer.splitlines()[-1])}


def test_load_ext_imports_nothing_heavy(shell, root: Path, tmp_path: Path) -> None:
    modules = loaded(shell, "nbtoolkit", root, tmp_path)
    assert "nbtoolkit" in modules
    assert not modules & HEAVY


def test_a_server_loads_nothing_heavy(shell, root: Path) -> None:
    loading = "import json, sys, nbtoolkit.lab.handlers; print(json.dumps(sorted(sys.modules)))"
    modules = set(json.loads(shell(sys.executable, "-c", loading, cwd=root)))
    assert "nbtoolkit.lab.stored" in modules
    assert not modules & HEAVY


def test_the_check_sees_a_heavy_import(shell, tmp_path: Path) -> None:
    (tmp_path / "heavy_extension.py").write_text("import xarray\n\ndef load_ipython_extension(shell): pass\n")
    assert {"xarray", "numpy"} <= loaded(shell, "heavy_extension", tmp_path, tmp_path)
