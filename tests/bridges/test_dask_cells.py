"""What a training may return, and how the cells of a sweep are put together."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import nbtoolkit
from nbtoolkit.bridges import cells
from nbtoolkit.bridges.assembled import dataset
from nbtoolkit.bridges.cells import Cell
from nbtoolkit.bridges.grid import checked

AXES = ("lr", "width")
GRID = checked({"lr": [0.1, 0.01], "width": [8, 16, 32]})


def cell(result: Any) -> Cell:
    return cells.of(result, axes=AXES, title="final_loss")


def curve(steps: list[int], values: list[float], name: str = "loss") -> xr.Dataset:
    return xr.Dataset({name: ("step", values, {"units": "nat", "long_name": "the loss"})}, {"step": steps})


def watched(steps: int, every: int = 1) -> nbtoolkit.Run:
    """A run that nobody has detached."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    instruments = [nbtoolkit.instruments.loss, nbtoolkit.instruments.lr, nbtoolkit.instruments.grad_norm.using(every=2)]
    run = nbtoolkit.watch(model, optimizer, instruments=instruments)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).square().sum().backward()
        optimizer.step()
        run.log(accuracy=0.5)
    return run


@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), torch.tensor(2.0), np.array(2), torch.tensor(2)])
def test_one_number(number: Any) -> None:
    found = cell(number).variables
    assert list(found) == ["value"]
    assert (found["value"].dims, found["value"].array.dtype, float(found["value"].array)) == ((), np.float64, 2.0)
    assert found["value"].attrs == {"long_name": "final loss", "units": "1"}


def test_a_dict_of_numbers() -> None:
    found = cell({"loss": 1.5, "test_accuracy": torch.tensor(0.5), "lr": 3, "reason": 4, "step": 5, "nan": math.nan})
    values = {name: float(one.array) for name, one in found.variables.items()}
    assert math.isnan(values.pop("nan"))
    assert values == {
        "loss": 1.5, "test_accuracy": 0.5, "lr_measured": 3, "reason_measured": 4, "step_measured": 5,
    }  # fmt: skip
    assert found.variables["test_accuracy"].attrs["long_name"] == "test accuracy"


def test_the_scalars_of_a_run_which_ends_here() -> None:
    run = watched(5)
    found = cell(run)
    assert run.state == "finished"
    assert {name: one.dims for name, one in found.variables.items()} == {
        name: ("step",) for name in ("loss", "grad_norm_total", "accuracy")
    }
    loss = found.variables["loss"].array
    np.testing.assert_array_equal(loss[np.isfinite(loss)], run["loss"]["loss"].values)
    total = found.variables["grad_norm_total"].array
    there = np.isfinite(total)
    np.testing.assert_array_equal(total[there], run["grad_norm"]["total"].values)
    assert there.sum() < len(total)
    assert found.variables["loss"].attrs["long_name"] == run["loss"]["loss"].attrs["long_name"]


def test_names_in_a_tree_tell_of_which_group_they_are() -> None:
    tree = xr.DataTree.from_dict({"/a": curve([1, 2], [1, 2]), "/b": curve([2, 2, 3], [5, 6, 7]), "/c": xr.Dataset()})
    found = cell(tree)
    assert {name: one.array.tolist() for name, one in found.variables.items() if name == "a_loss"}["a_loss"][:2] == [
        1,
        2,
    ]
    assert found.variables["b_loss"].array[1:].tolist() == [6, 7]  # of two values at one step the last
    assert found.labels["step"] == [1, 2, 3]


def test_a_dataset_with_dims_of_its_own() -> None:
    ds = xr.Dataset(
        {"norm": (("step", "layer"), np.arange(6).reshape(3, 2)), "final": 2}, {"step": [1, 2, 3], "layer": ["a", "b"]}
    )
    found = cell(ds)
    assert found.variables["norm"].dims == ("step", "layer")
    assert found.labels == {"step": [1, 2, 3], "layer": ["a", "b"]}
    renamed = cell(xr.Dataset({"width": ("lr", [1.0, 2.0])}))
    assert {name: one.dims for name, one in renamed.variables.items()} == {"width_measured": ("lr_measured",)}
    assert cell(xr.DataArray([1.0, 2.0], dims="step")).variables["value"].dims == ("step",)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "train returned nothing; expected a number, a dict"),
        ("0.5", "train returned str; expected a number"),
        ([1, 2], "train returned list"),
        (1j, "train returned complex"),
        (np.ones(3), "train returned ndarray"),
        ({}, "train returned an empty dict"),
        ({"loss": [1, 2]}, "train returned list under 'loss'"),
        ({"loss": None}, "train returned NoneType under 'loss'"),
        ({3: 1.0}, "a value called 3"),
        ({"a/b": 1.0}, "a value called 'a/b'"),
        (xr.Dataset(), "a Dataset without variables"),
        (xr.Dataset({"name": ("step", ["a", "b"])}), "'name' with values of"),
        (xr.Dataset({"t": ("step", [1.0])}, {"step": np.array(["2020-01-01"], "datetime64[ns]")}), "the dim 'step'"),
        (xr.DataTree(), "no scalar of any step"),
        (torch.nn.Linear(1, 1), "train returned Linear"),
    ],
)
def test_anything_else_is_refused_in_words(result: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        cell(result)
    assert words in str(caught.value)


def test_cells_that_are_not_there_are_blank_and_say_why() -> None:
    ds = dataset(GRID, {0: cell(1.0), 4: cell(2.0), 5: Cell(reason="ValueError: no")})
    assert dict(ds.sizes) == {"lr": 2, "width": 3}
    np.testing.assert_array_equal(ds["value"].values, [[1, np.nan, np.nan], [np.nan, 2, np.nan]])
    assert ds["reason"].values.tolist() == [["", "not run yet", "not run yet"], ["not run yet", "", "ValueError: no"]]
    assert ds["width"].values.tolist() == [8, 16, 32]
    assert list(dataset(GRID, {}).data_vars) == ["reason"]


def test_steps_of_all_cells_are_united() -> None:
    ds = dataset(GRID, {1: cell(curve([0, 10, 20], [3, 2, 1])), 3: cell(curve([0, 5], [7, 8]))})
    assert ds["loss"].dims == ("lr", "width", "step")
    assert ds["step"].values.tolist() == [0, 5, 10, 20]
    np.testing.assert_array_equal(ds["loss"].values[0, 1], [3, np.nan, 2, 1])
    np.testing.assert_array_equal(ds["loss"].values[1, 0], [7, 8, np.nan, np.nan])
    assert ds["loss"].attrs == {"units": "nat", "long_name": "the loss"}
    assert np.isnan(ds["loss"].values).sum() == 24 - 5


def test_labels_that_are_words_are_united_as_they_come() -> None:
    one, two = (xr.Dataset({"norm": ("layer", [1.0, 2.0])}, {"layer": names}) for names in (["b", "a"], ["a", "c"]))
    ds = dataset(GRID, {0: cell(one), 1: cell(two)})
    assert ds["layer"].values.tolist() == ["b", "a", "c"]
    np.testing.assert_array_equal(ds["norm"].values[0, :2], [[1, 2, np.nan], [np.nan, 1, 2]])


def test_a_cell_of_another_shape_is_blank_and_says_so() -> None:
    curves = {place: cell(curve([1, 2], [3, 4])) for place in (1, 2)}
    ds = dataset(GRID, {0: cell({"loss": 1.0, "other": 2.0}), **curves})
    assert ds["loss"].dims == ("lr", "width", "step")
    assert np.isnan(ds["loss"].values[0, 0]).all()
    assert float(ds["other"].values[0, 0]) == 2.0
    assert ds["reason"].values[0, 0] == "loss has here no dim, elsewhere the dims step"
