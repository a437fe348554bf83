"""Finished cells on disk or behind a URL: whole, harmless, and told from those of another sweep."""

import copy
import io
import json
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nbtoolkit.bridges import functions, kept
from nbtoolkit.bridges.cells import Cell, Values
from nbtoolkit.bridges.grid import checked
from nbtoolkit.bridges.kept import Kept
from nbtoolkit.errors import StoreError

GRID = checked({"lr": [0.1, 0.01], "name": ["../../x", 'a "b"\n']})
POINTS = GRID.points()
CELL = Cell(
    {
        "loss": Values(("step",), np.array([3.0, math.nan, math.inf]), {"units": "nat"}),
        'hostile "name"\n': Values((), np.array(2.5)),
        "norm": Values(("step", "layer"), np.arange(6.0).reshape(3, 2)),
    },
    {"step": [0, 1, 2**53 + 1], "layer": ["a", "é"]},
    seconds=1.5,
)


def train(lr: float, name: str) -> float:
    return lr


def other(lr: float, name: str) -> float:
    return lr


def same(one: Cell | None, two: Cell) -> bool:
    assert one is not None
    np.testing.assert_equal(
        {name: (v.dims, v.array, v.attrs) for name, v in one.variables.items()},
        {name: (v.dims, v.array, v.attrs) for name, v in two.variables.items()},
    )
    return (one.labels, one.seconds, one.reason) == (two.labels, two.seconds, two.reason)


@pytest.mark.parametrize("place", ["folder", "memory://nbtoolkit-sweep/{}/cells"])
def test_cells_come_back_as_they_were(place: str, tmp_path: Path) -> None:
    where = place.format(tmp_path.name) if "://" in place else tmp_path / place
    first = Kept(where, GRID, train)
    assert first.read(POINTS) == {}
    first.keep(POINTS[1], CELL)
    first.keep(POINTS[2], CELL)
    larger = checked({"name": ["new", *GRID.axes["name"]], "lr": [0.1, 0.01, 1.0]})
    found = Kept(where, larger, train).read(larger.points())
    assert [larger.points()[index] for index in found] == [POINTS[2], POINTS[1]]
    assert all(same(one, CELL) for one in found.values())


def test_names_in_a_point_name_no_file_elsewhere(tmp_path: Path) -> None:
    Kept(tmp_path / "a" / "b", GRID, train).keep(POINTS[0], CELL)
    files = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert files[1:] == ["sweep.json"]
    assert files[0].removesuffix(kept.SUFFIX).isalnum()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == files


def test_what_is_damaged_is_not_there(tmp_path: Path) -> None:
    store = Kept(tmp_path / "s", GRID, train)
    whole = kept.packed(POINTS[0], CELL)
    assert same(kept.unpacked(whole, POINTS[0]), CELL)
    assert kept.unpacked(whole, POINTS[1]) is None
    for cut in range(0, len(whole), 7):
        assert kept.unpacked(whole[:cut], POINTS[0]) is None
    for at in range(0, len(whole), 5):  # a changed byte is seen, or changes nothing
        found = kept.unpacked(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :], POINTS[0])
        assert found is None or same(found, CELL)
    store.keep(POINTS[0], CELL)
    store.keep(POINTS[1], CELL)
    (file,) = [path for path in (tmp_path / "s").iterdir() if path.name == kept._file(POINTS[0])]
    file.write_bytes(whole[: len(whole) // 2])
    assert list(store.read(POINTS)) == [1]


def forged(**changes: Any) -> bytes:
    """A cell with another head, whose digest is right."""
    line, _, numbers = kept.packed(POINTS[0], CELL).partition(b"\n")
    head = {**json.loads(line), **changes}
    del head[kept.DIGEST]
    return json.dumps({**head, kept.DIGEST: kept._digest(head, numbers)}).encode() + b"\n" + numbers


SHAPES: list[list[Any]] = [
    [2**40], [2**32, 2**32], [2**64], [2**40, 0], [-1], [-1, -3], [3.0], [None], ["3"], [True, 3], [], [2], [4], [[3]]
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_head_that_claims_other_shapes_is_not_believed(shape: list[Any]) -> None:
    values = json.loads(kept.packed(POINTS[0], CELL).partition(b"\n")[0])["values"]
    loss = values[0]
    assert loss == ["loss", "f", [3]]
    assert same(kept.unpacked(forged(values=[loss, *values[1:]]), POINTS[0]), CELL)
    tracemalloc.start()
    try:
        assert kept.unpacked(forged(values=[[*loss[:2], shape], *values[1:]]), POINTS[0]) is None
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_head_that_does_not_fit_its_numbers_is_not_believed() -> None:
    values = json.loads(kept.packed(POINTS[0], CELL).partition(b"\n")[0])["values"]
    for changes in (
        {"values": values[:2], "dims": [["step"], []], "attrs": [{}, {}]},  # numbers are left over
        {"values": [["loss", "O", [3]], *values[1:]]},
        {"labels": {"step": [0, 1], "layer": ["a", "é"]}},
        {"dims": [["step"], ["layer"], ["step", "layer"]]},
        {"dims": [["step"]]},
        {"dims": [["other"], [], ["step", "layer"]]},
        {"attrs": 3},
    ):
        assert kept.unpacked(forged(**changes), POINTS[0]) is None


def test_nothing_that_is_read_runs(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "sprung").touch, ())

    store = Kept(tmp_path / "s", GRID, train)
    zipped = io.BytesIO()
    np.savez(zipped, head=np.array([Trap()], dtype=object))
    for data in (pickle.dumps(Trap()), zipped.getvalue()):
        (tmp_path / "s" / kept._file(POINTS[0])).write_bytes(data)
        assert store.read(POINTS) == {}
    assert not (tmp_path / "sprung").exists()


def test_a_write_that_is_cut_off_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Kept(tmp_path / "s", GRID, train)
    store.keep(POINTS[0], CELL)

    def failing(*_: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(OSError, match="no room"):
        store.keep(POINTS[0], Cell({"loss": Values((), np.array(0.0))}))
    assert same(store.read(POINTS)[0], CELL)
    assert len(list((tmp_path / "s").iterdir())) == 2


def test_the_store_of_another_sweep_is_refused(tmp_path: Path) -> None:
    Kept(tmp_path / "s", GRID, train)
    with pytest.raises(StoreError, match=r"holds a sweep over lr, name; this one is over lr\. Choose another store\."):
        Kept(tmp_path / "s", checked({"lr": [1]}), train)
    with pytest.raises(StoreError, match=r"holds a sweep of train\(\); this one is of other\(\)\."):
        Kept(tmp_path / "s", GRID, other)
    about = json.loads((tmp_path / "s" / "sweep.json").read_text())
    (tmp_path / "s" / "sweep.json").write_text(json.dumps({**about, "nbtoolkit_sweep": 2}))
    with pytest.raises(StoreError, match="has format 2; this nbtoolkit knows 1"):
        Kept(tmp_path / "s", GRID, train)


def test_a_function_that_has_changed_is_told_as_long_as_there_are_cells_of_before(tmp_path: Path) -> None:
    Kept(tmp_path / "s", GRID, train)

    def changed(lr: float, name: str) -> float:
        return 2 * lr

    changed.__name__ = "train"
    Kept(tmp_path / "s", GRID, changed)  # none was kept
    Kept(tmp_path / "s", GRID, train).keep(POINTS[0], CELL)
    Kept(tmp_path / "s", GRID, train)
    for function in (changed, changed, train):
        with pytest.warns(UserWarning, match=r"train\(\) has changed since cells were kept in .*; those are taken"):
            Kept(tmp_path / "s", GRID, function)


class Recipe:
    """A callable object."""

    def __init__(self, **given: Any) -> None:
        self.given = given

    def __call__(self, lr: float, name: str) -> float:
        return lr

    def method(self, lr: float, name: str) -> float:
        return lr


def test_what_a_function_was_given_beforehand_tells_it_from_another(tmp_path: Path) -> None:
    weights = np.arange(5000.0)
    given = {"opt": "adam", "w": weights, "t": torch.ones(2), "f": other, "s": {1, "a"}, "k": [{"x": 1}]}
    makers: list[Callable[..., Any]] = [
        lambda **held: partial(other, **held),
        lambda **held: Recipe(**held),
        lambda **held: Recipe(**held).method,
        lambda **held: partial(Recipe(**held), name="x"),
    ]
    differing: list[dict[str, Any]] = [
        {"opt": "sgd"}, {"w": np.where(weights == 2500, 1.0, weights)}, {"t": torch.tensor([1.0, 1.5])}, {"f": train},
        {"s": {1, "b"}}, {"more": None}, {"opt": b"adam"}
    ]  # fmt: skip
    for number, maker in enumerate(makers):
        place = tmp_path / str(number)
        Kept(place, GRID, maker(**given)).keep(POINTS[0], CELL)
        Kept(place, GRID, maker(**dict(reversed(copy.deepcopy(given).items()))))
        for change in differing:
            with pytest.raises(StoreError, match="with other arguments or attributes given beforehand"):
                Kept(place, GRID, maker(**{**given, **change}))
    with pytest.raises(StoreError, match="given beforehand"):
        Kept(tmp_path / "0", GRID, other)
    assert functions.given(other) == ""


def test_the_digest_is_the_same_in_another_process() -> None:
    script = (
        "import functools, torch, numpy\nfrom nbtoolkit.bridges import functions\n"
        "class Thing: pass\n"
        "def train(**_): pass\n"
        "thing = Thing(); thing.own, thing.me, thing.plain = {'b', 'a', 'c'}, thing, object()\n"
        "print(functions.given(functools.partial(train, thing=thing, t=torch.ones(2), n=numpy.ones(3))))"
    )
    said = {
        subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, timeout=60,
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


def test_code_without_text_is_told_apart() -> None:
    code = "def train(n):\n    return [{0} * x for x in n]\nclass Train:\n    def __call__(self):\n        return {0}"
    spaces: list[dict[str, Any]] = [{} for _ in range(3)]
    for number, space in zip((2, 2, 3), spaces, strict=True):
        exec(code.format(number), space)
    for name in ("train", "Train"):
        one, two, three = (functions.source(space[name]) for space in spaces)
        assert one == two != three
        one, two, three = (functions.source(space["Train"]()) for space in spaces)
        assert one == two != three


def test_a_place_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "sweep.json").write_text("[1]")
    for place, words in (
        (tmp_path / "other", "exists and holds no sweep; nothing was changed"),
        (tmp_path / "file", "exists and holds no sweep; nothing was changed"),
        (tmp_path / "odd", "exists and holds no sweep; nothing was changed"),
        (tmp_path / "file" / "below", "cannot be used"),
        ("nosuch://bucket/x", "cannot be used: Protocol not known: nosuch"),
    ):
        with pytest.raises(StoreError) as caught:
            Kept(place, GRID, train)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]
