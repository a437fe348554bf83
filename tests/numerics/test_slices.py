"""Grids: every value at its own coordinates, none evaluated twice, what is left out is where it is flat."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.points import Points
from nbtoolkit.numerics.slices import axis, bending, evaluations, grid, sides


class Surface(nn.Module):
    """Two numbers as parameters, and what was made of them."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.counted = [0]

    def __deepcopy__(self, memo: dict) -> "Surface":
        twin = Surface()
        twin.at, twin.counted = self.at, self.counted
        return twin

    def forward(self) -> Tensor:
        self.counted[0] += 1
        return self.at


def uneven(a: float | Tensor, b: float | Tensor) -> Tensor:
    """A function that is none of its own mirror images, transposes or shifts."""
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return torch.exp(0.7 * a) + 3 * b + 0.5 * a * b * b + torch.sin(2 * b + 1) + 7


def points(function=uneven, dims: int = 2) -> tuple[Points, Surface]:
    model = Surface()
    pair = [{"at": torch.tensor([2.0, 0.0]).double()}, {"at": torch.tensor([1.0, 0.5]).double()}][:dims]
    return Points(LossAt(model, lambda m: function(*m())), {"at": model.at}, pair), model


@pytest.mark.parametrize("size", [3, 7, 13, 15, 25])
def test_every_value_is_at_its_own_coordinates(size: int) -> None:
    *_, last = grid(points()[0], size=size, extent=1.5)
    along = [-1.5 + 3 * i / (size - 1) for i in range(size)]
    for (i, a), (j, b) in itertools.product(enumerate(along), repeat=2):
        assert float(last.loss[i, j]) == pytest.approx(float(uneven(2 * a + b, 0.5 * b)), rel=1e-12), (a, b)
    assert float(last.loss[size // 2, size // 2]) == float(uneven(0.0, 0.0))


def test_a_line_is_a_grid_of_one_dim() -> None:
    *_, last = grid(points(dims=1)[0], size=13, extent=2)
    wanted = uneven(2 * torch.linspace(-2, 2, 13, dtype=torch.float64), 0.0)
    torch.testing.assert_close(last.loss, wanted, rtol=1e-12, atol=0)


def test_no_point_is_evaluated_twice() -> None:
    at, model = points()
    known = torch.zeros(25, 25, dtype=torch.bool)
    for values in grid(at, size=25):
        now = values.loss.isfinite()
        assert now[known].all()
        known = now
    assert known.all()
    # The first point is the one at which the way is looked for.
    assert model.counted[0] == 625


def test_coarse_grids_are_complete_before_finer_ones_begin() -> None:
    at, _ = points()
    seen = []
    for values in grid(at, size=25, share=0.999):
        known = values.loss.isfinite()
        seen.append(next((s for s in (25, 13, 7) if known[:: 24 // (s - 1), :: 24 // (s - 1)].all()), 0))
        if seen[-1] == 0:
            assert not known[1::2].any()
    assert seen == sorted(seen)
    assert {0, 7, 13} <= set(seen)


def test_each_stage_is_a_value_of_its_own() -> None:
    stages = list(grid(points()[0], size=7))
    assert stages[0].loss.isnan().any()
    assert not stages[-1].loss.isnan().any()


def test_what_is_left_out_of_the_last_refinement_is_flat() -> None:
    def step(a: Tensor, b: Tensor) -> Tensor:
        return 1 + torch.sigmoid(40 * (a + 0.3 * b - 0.4))

    *_, last = grid(points(step)[0], size=49, share=0.4)
    *_, whole = grid(points(step)[0], size=49)
    known = last.loss.isfinite()
    assert int(known.sum()) == evaluations(49, 0.4) == 625 + math.ceil(0.4 * (49**2 - 625))
    torch.testing.assert_close(last.loss[known], whole.loss[known], rtol=0, atol=0)
    bends = bending(whole.loss)
    assert float(bends[~known].mean()) < 0.05 * float(bends[known].mean())


def test_grids_are_nested_and_have_the_centre() -> None:
    assert [sides(n) for n in (3, 5, 7, 13, 15, 21, 25, 49)] == [
        [3], [5], [7], [7, 13], [15], [11, 21], [7, 13, 25], [7, 13, 25, 49]
    ]  # fmt: skip
    for size in (3, 7, 25):
        assert axis(size, 0.7)[size // 2] == 0
        torch.testing.assert_close(axis(size, 0.7), torch.linspace(-0.7, 0.7, size, dtype=torch.float64))


def test_bending_by_hand_and_where_nothing_is_finite() -> None:
    line = torch.tensor([1.0, 1.0, 1.0, 3.0], dtype=torch.float64)
    # Heights 0 0 0 2 with a median of 0, so in units of 1: log(1 + h) = 0 0 0 log 3.
    torch.testing.assert_close(bending(line), torch.tensor([0.0, 0.0, math.log(3), math.log(3)]).double())
    assert not bending(torch.full((3, 3), torch.nan)).any()
    assert bending(torch.tensor([1.0, torch.inf, 2.0, 3.0])).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 24}, "points=24: expected an odd number of 3 or more"),
        ({"size": 1}, "points=1"),
        ({"size": 7.0}, "points=7.0"),
        ({"extent": 0}, "extent=0: expected a positive number"),
        ({"extent": float("nan")}, "extent=nan"),
        ({"extent": "wide"}, "extent='wide'"),
        ({"extent": True}, "extent=True"),
        ({"size": torch.zeros(9, 9)}, r"^points=tensor\(\[\[[0., ]+\.\.\.: expected an odd"),
        ({"share": 1.5}, "share=1.5: expected a number from 0 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(grid(points()[0], **settings))


def test_numbers_of_numpy_make_the_same_grid() -> None:
    *_, wanted = grid(points()[0], size=9, extent=0.5, share=0.25)
    *_, found = grid(points()[0], size=np.int64(9), extent=np.float32(0.5), share=np.float32(0.25))  # type: ignore[arg-type]
    assert torch.equal(axis(np.int64(9), np.float32(0.5)), axis(9, 0.5))  # type: ignore[arg-type]
    torch.testing.assert_close(found.loss, wanted.loss, rtol=0, atol=0, equal_nan=True)
