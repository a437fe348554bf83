"""The grid of a sweep: what is refused, and what a point is called."""

import functools
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from nbtoolkit.bridges import grid as grids
from nbtoolkit.errors import LandscapeError


def test_points_run_fastest_along_the_last_axis() -> None:
    grid = grids.checked({"width": [64, 256], "lr": np.array([0.1, 0.01, 0.001]), "kind": ["a"]})
    assert grid.shape == (2, 3, 1)
    assert [tuple(point.values()) for point in grid.points()] == list(
        itertools.product([64, 256], [0.1, 0.01, 0.001], ["a"])
    )


@pytest.mark.parametrize("values", [range(3), torch.arange(3), np.arange(3, dtype=np.int8), (0, 1, 2), iter([0, 1, 2])])
def test_values_are_plain_numbers_wherever_they_come_from(values: Any) -> None:
    assert [(type(value), value) for value in grids.checked({"a": values}).axes["a"]] == [(int, 0), (int, 1), (int, 2)]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ([("lr", [1])], "grid is a list; expected a dict of axis name -> values"),
        ({}, "the grid has no axis"),
        ({"lr": []}, "the axis 'lr' has no values"),
        ({"lr": iter(())}, "the axis 'lr' has no values"),
        ({3: [1]}, "an axis of the grid is called 3"),
        ({"": [1]}, "an axis of the grid is called ''"),
        ({"step": [1]}, "called 'step', as is a part of the result"),
        ({"reason": [1]}, "called 'reason', as is a part of the result"),
        ({"lr": 0.1}, "the axis 'lr' is 0.1; expected a list of its values"),
        ({"lr": "abc"}, "the axis 'lr' is 'abc'; expected a list"),
        ({"lr": {1, 2}}, "expected a list"),
        ({"lr": np.ones((2, 2))}, "expected a list"),
        ({"lr": [0.1, 0.01, 0.1]}, "the axis 'lr' has 0.1 twice"),
        ({"lr": [1, 1.0]}, "the axis 'lr' has 1.0 twice"),
        ({"lr": [0.1, float("nan")]}, "has the value nan; expected finite"),
        ({"lr": [0.1, float("inf")]}, "has the value inf; expected finite"),
        ({"n": [2**63]}, "expected whole numbers below"),
        ({"f": [max]}, "expected numbers or strings: give names"),
        ({"f": [None]}, "expected numbers or strings"),
        ({"f": [1, "a"]}, "mixes numbers, strings or booleans"),
        ({"f": [True, 2]}, "mixes numbers, strings or booleans"),
    ],
)
def test_what_makes_no_grid_is_refused_in_one_line(grid: Any, words: str) -> None:
    with pytest.raises(LandscapeError) as caught:
        grids.checked(grid)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_function_that_cannot_be_called_with_the_axes_is_refused() -> None:
    def train(lr: float, *, width: int) -> float:
        return lr * width

    grid = grids.checked({"lr": [0.1], "depth": [2]})
    words = r"train\(lr, width\) cannot be called with the grid's axes lr, depth: missing .*'width'"
    with pytest.raises(LandscapeError, match=words):
        grids.check_call(train, grid)
    with pytest.raises(LandscapeError, match="train is a int"):
        grids.check_call(3, grid)
    grids.check_call(functools.partial(train, width=3), grids.checked({"lr": [1]}))
    grids.check_call(lambda **point: 0, grids.checked({"weight decay": [1], "self": [2], "../x": [3]}))
    assert grids.name_of(functools.partial(train, width=3)) == "train"


def test_a_point_is_the_same_whatever_the_order_of_axes_and_the_kind_of_number() -> None:
    key = grids.key({"lr": 0.1, "n": 1})
    assert key == grids.key({"n": 1.0, "lr": 0.1})
    others = [
        {"lr": 0.1, "n": 2},
        {"lr": 0.1, "m": 1},
        {"lr": "0.1", "n": 1},
        {"lr": 0.1, "n": "1"},
        {"lr": 1, "n": 0.1},
    ]
    assert len({key, *map(grids.key, others)}) == 6
    assert grids.key({"n": 2**53 + 1}) != grids.key({"n": 2**53})
    assert grids.key({"n": True}) != grids.key({"n": 1})
