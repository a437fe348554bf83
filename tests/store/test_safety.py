"""Opening a stored run executes nothing; nor does the page of one."""

import ast
import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from nbtoolkit.errors import StoreError
from nbtoolkit.store import files
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var

PICKLES = {"cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle", "yaml"}
# How the user's function goes to the workers of the user's own cluster, as Dask sends all that it sends; not stored.
SENT = ("dask.py", "spreading.py", "trained.py")
LOADS = {("torch", "load"), ("np", "load"), ("numpy", "load"), ("pandas", "read_pickle")}
RUNS_TEXT = re.compile(r"\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc")


class Bomb:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def unsafe(source: str) -> list[str]:
    """Where a module could make objects out of bytes."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        own = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in [*names, *own] if name.split(".")[0] in PICKLES] + ["pickle"] * ("pickle" in own)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            reads = node.value.id == "pickle" and node.attr != "dumps"  # which tells whether two states are equal
            found += [node.attr] if reads or (node.value.id, node.attr) in LOADS else []
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.append("allow_pickle")
    return found


def test_no_module_unpickles(root: Path) -> None:
    modules = sorted((root / "nbtoolkit").rglob("*.py"))
    assert len(modules) > 100
    found = {path.name: unsafe(path.read_text()) for path in modules}
    assert {name: what for name, what in found.items() if what} == {name: ["cloudpickle"] for name in SENT}


def test_the_search_finds_what_it_looks_for() -> None:
    for line in (
        "pickle.loads(b)",
        "from pickle import loads",
        "from dill import loads",
        "torch.load(path)",
        "np.load(p, allow_pickle=True)",
    ):
        assert unsafe(line)
    assert RUNS_TEXT.search("root.innerHTML = name")


def test_no_script_of_the_page_makes_markup_of_text(root: Path) -> None:
    scripts = sorted((root / "js" / "src").rglob("*.ts"))
    assert len(scripts) > 40
    assert {str(path): found for path in scripts if (found := RUNS_TEXT.findall(path.read_text()))} == {}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A stored run with named layers."""
    made = Record()
    columns = made.group("loss", {"loss": Var(("layer",), "1", "loss")})
    columns.append([0, 1], {"loss": np.ones((2, 1))}, {"layer": ["first"]})
    return files.save(made, tmp_path / "run")


@pytest.mark.parametrize(
    "change",
    [
        {"codecs": [{"name": "numcodecs.pickle", "configuration": {}}]},
        {"codecs": [{"name": "pickle", "configuration": {}}]},
        {"data_type": "object"},
        {"data_type": "|O"},
    ],
)
@pytest.mark.parametrize("array", ["layer", "loss"])
def test_arrays_of_objects_are_refused_unread(store: Path, array: str, change: dict) -> None:
    described = store / "loss" / array / "zarr.json"
    described.write_text(json.dumps({**json.loads(described.read_text()), **change}))
    bomb = pickle.dumps(np.array([Bomb(store / "gone_off")], object))
    for chunk in (store / "loss" / array / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(bomb)
    with pytest.raises(StoreError, match=r"group 'loss' of .* is damaged"):
        files.load(store)
    assert not (store / "gone_off").exists()


@pytest.mark.filterwarnings("ignore:Object at .* is not recognized")
def test_arrays_of_an_older_format_are_not_read(store: Path) -> None:
    folder = store / "loss" / "layer"
    shutil.rmtree(folder)
    folder.mkdir()
    old = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": None, "fill_value": None}
    (folder / ".zarray").write_text(json.dumps({**old, "order": "C", "filters": [{"id": "pickle", "protocol": 4}]}))
    (folder / "0").write_bytes(pickle.dumps(np.array([Bomb(store / "gone_off")], object)))
    assert files.load(store).groups["loss"].labels == {"layer": []}
    assert not (store / "gone_off").exists()


def test_the_bomb_goes_off_where_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "gone_off")))
    assert (tmp_path / "gone_off").exists()
