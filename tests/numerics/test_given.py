"""Numbers are numbers whoever made them; what is shown of a value is one short line."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from nbtoolkit.numerics.given import SHOWN, is_finite, is_seed, is_whole, shown


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers(value: Any) -> None:
    assert is_whole(value)
    assert is_whole(value, 3)
    assert not is_whole(value, 4)
    assert is_finite(value)
    assert is_seed(value)


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float32(3), "3", None, [3], torch.tensor(3), 3 + 0j])
def test_what_is_no_whole_number(value: Any) -> None:
    assert not is_whole(value)
    assert not is_seed(value)


def test_finite_numbers() -> None:
    assert all(is_finite(value) for value in (0.5, np.float16(0.5), np.float64(0.5), Fraction(1, 2), -1))
    no_numbers: list[Any] = [True, np.True_, float("nan"), np.float32("inf"), 10**400, "1", None, torch.tensor(1.0)]
    assert not any(is_finite(value) for value in no_numbers)


def test_seeds_are_what_torch_takes() -> None:
    for seed in (0, 2**64 - 1):
        assert is_seed(seed)
        torch.Generator().manual_seed(seed)
    assert not is_seed(2**64)
    assert not is_seed(-1)


def test_a_value_is_shown_in_one_short_line() -> None:
    assert shown("many") == "'many'"
    assert shown("x" * (SHOWN - 2)) == repr("x" * (SHOWN - 2))
    long = shown(torch.zeros(50, 50))
    assert long.startswith("tensor([[0., 0.")
    assert long.endswith("...")
    assert len(long) == SHOWN
    assert "\n" not in shown(torch.zeros(2, 1))
