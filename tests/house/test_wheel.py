"""The wheel is complete: it has the bundle, it needs no source tree, and it declares what it imports."""

import ast
import json
import re
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

FIRST_RUN = """
import sys
import torch
import nbtoolkit

torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
losses = []
with nbtoolkit.watch(model, optimizer) as run:
    for _ in range(20):
        optimizer.zero_grad()
        loss = model(torch.ones(4, 3)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
assert run["loss"]["loss"].values.tolist() == losses, (run["loss"], losses)
nbtoolkit.export_html(run, "page.html")
run.save("run.zarr")
assert nbtoolkit.open_run("run.zarr")["loss"].equals(run["loss"])
print(nbtoolkit.__file__)
"""

# Imported only where they are known to be there: nbconvert loads its own exporters, a kernel
# runs in ipykernel and has a comm, a server loads its extensions; traitlets comes with ipywidgets.
# What others bring: Jupyter, and cloudpickle (of distributed), numcodecs (of zarr), pandas (of xarray).
GIVEN = {"cloudpickle", "numcodecs", "pandas", "nbconvert", "nbformat", "ipykernel", "comm", "traitlets", "tornado"}
GIVEN |= {"zmq", "jupyter_core", "jupyter_server"}
DATA = "nbtoolkit_landscape.data/data/"
LARGEST = 1_000_000  # bytes


def without_version(name: str) -> str:
    """A path in the wheel; two of its folders carry the version."""
    return re.sub(r"^(\w+)-\d[\d.]*(?=\.(dist-info|data)/)", r"\1", name)


def test_wheel_holds_the_package_and_its_bundle(wheel: Path) -> None:
    names = [without_version(name) for name in zipfile.ZipFile(wheel).namelist()]
    assert "nbtoolkit/static/board.js" in names
    assert not [name for name in names if name.endswith(".map")]
    top = {name.split("/")[0] for name in names}
    assert top == {"nbtoolkit", "nbtoolkit_landscape.dist-info", "nbtoolkit_landscape.data"}
    assert wheel.stat().st_size < LARGEST


def test_wheel_holds_the_extension_of_jupyterlab_and_the_companions(root: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        data = {
            without_version(name).removeprefix(DATA): archive.read(name)
            for name in archive.namelist()
            if without_version(name).startswith(DATA)
        }
    extension = "share/jupyter/labextensions/nbtoolkit-landscape"
    described = json.loads(data.pop(f"{extension}/package.json"))
    script = data.pop(f"{extension}/{described['jupyterlab']['_build']['load']}")
    assert b"_JUPYTERLAB" in script
    assert len(script) < 30_000
    assert described["version"] == tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    enabled = json.loads(data.pop("etc/jupyter/jupyter_server_config.d/nbtoolkit.json"))
    assert enabled["ServerApp"]["jpserver_extensions"] == {"nbtoolkit.lab": True}
    companions = {f"share/jupyter/nbtoolkit/notebooks/{path.name}" for path in (root / "notebooks").glob("*.ipynb")}
    assert set(data) == companions | {f"{extension}/install.json"}


def test_wheel_holds_every_module(root: Path, wheel: Path) -> None:
    modules = {str(path.relative_to(root)) for path in (root / "nbtoolkit").rglob("*.py")}
    assert modules <= set(zipfile.ZipFile(wheel).namelist())


def test_distributions_name_no_path_of_this_machine(distributions: Path, root: Path, wheel: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    contents = {name: zipfile.ZipFile(wheel).read(name) for name in zipfile.ZipFile(wheel).namelist()}
    with tarfile.open(sdist) as archive:
        contents |= {item.name: archive.extractfile(item).read() for item in archive if item.isfile()}  # type: ignore[union-attr]
    assert not [name for name, content in contents.items() if str(root).encode() in content]
    assert not [name for name in contents if "node_modules" in name or name.endswith(".map")]


def test_first_run_from_the_wheel_alone(wheel: Path, tmp_path: Path, shell) -> None:
    environment = tmp_path / "environment"
    shell(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    shell(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    # The dependencies, heavy and already here, are lent as a plain folder: editable installs in it do not count.
    installed = Path(shell(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (installed / "lent.pth").write_text(sysconfig.get_path("purelib"))
    work = tmp_path / "work"
    work.mkdir()
    came_from = shell(python, "-I", "-W", "error", "-c", FIRST_RUN, cwd=work).splitlines()[-1]
    assert Path(came_from).is_relative_to(installed)
    assert "<script" in (work / "page.html").read_text()


def test_every_import_is_a_declared_dependency(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    optional = [name for names in project["optional-dependencies"].values() for name in names]
    declared, extras = (
        {re.split(r"[<>=]", name)[0].lower() for name in names} for names in (project["dependencies"], optional)
    )
    imported = {
        (path.relative_to(root / "nbtoolkit").parts[0], name.split(".")[0].lower())
        for path in (root / "nbtoolkit").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    }
    found = {name for _, name in imported} - set(sys.stdlib_module_names)
    assert found - declared - extras - GIVEN == {"nbtoolkit"}
    assert declared <= found
    assert {part for part, name in imported if name in extras} == {"bridges", "store"}  # which has stores at URLs


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize(("source", "names"), [("import a.b, c", ["a.b", "c"]), ("from d.e import f", ["d.e"])])
def test_imports_are_seen(source: str, names: list[str]) -> None:
    assert [name for node in ast.walk(ast.parse(source)) for name in _imported(node)] == names
