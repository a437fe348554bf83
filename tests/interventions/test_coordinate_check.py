"""Slopes of networks whose outputs grow with known powers of the width; the two parametrisations told apart."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.interventions import coordinate_check, mup

WIDTHS = [16, 64, 256]
X, Y = torch.randn(40, 5, generator=torch.Generator().manual_seed(3)), torch.arange(40) % 3


def loss(model: nn.Module) -> Tensor:
    return F.cross_entropy(model(X), Y)


def net(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))


def standard(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = net(width)
    return model, torch.optim.Adam(model.parameters(), lr=0.01)


def maximal(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = net(width)
    return model, torch.optim.Adam(mup(model, net(16), lr=0.01))


class Ones(nn.Module):
    """h = x, y = sum over ``width`` copies of it: sizes and changes are powers of the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(1, width, bias=False), nn.Linear(width, 1, bias=False)
        for layer in (self.up, self.down):
            nn.init.ones_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x))


def test_powers_of_the_width_are_exact() -> None:
    x = torch.tensor([[1.0], [-2.0]], dtype=torch.float64)

    def make(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        model = Ones(width).double()
        return model, torch.optim.SGD(model.parameters(), lr=1e-3)

    found = coordinate_check(make, [2, 8, 32], lambda model: model(x).sum(), steps=1, seeds=[0])
    assert found.rms.dims == ("width", "layer", "step")
    assert found.layer.values.tolist() == ["up", "down"]
    size = 2.5**0.5  # of x
    np.testing.assert_allclose(found.rms.sel(step=0), [[size, width * size] for width in (2, 8, 32)], rtol=1e-12)
    # The gradient of every weight is sum(x) = -1: each becomes 1 + lr.
    moved = 1e-3 * size, [width * (2e-3 + 1e-6) * size for width in (2, 8, 32)]
    np.testing.assert_allclose(found.change.sel(step=1, layer="up"), moved[0], rtol=1e-9)
    np.testing.assert_allclose(found.change.sel(step=1, layer="down"), moved[1], rtol=1e-9)
    np.testing.assert_allclose(found.change_slope.sel(step=1), [0, 1], atol=1e-9)
    np.testing.assert_allclose(found.rms_slope, [[0, 0], [1, 1]], atol=1e-9)
    np.testing.assert_allclose(found.rms_slope_error, 0, atol=1e-9)
    assert np.isnan(found.change_slope.sel(step=0)).all()  # nothing has changed yet


def test_slopes_and_errors_are_those_of_least_squares_over_all_seeds() -> None:
    whole = coordinate_check(standard, WIDTHS, loss, steps=2, seeds=[0, 1, 2])
    each = [coordinate_check(standard, WIDTHS, loss, steps=2, seeds=[seed]) for seed in range(3)]
    logs = np.log([one.change.sel(layer="4", step=2).values for one in each])
    fit: Any = stats.linregress(np.tile(np.log(WIDTHS), 3), logs.ravel())
    told = whole.sel(layer="4", step=2)
    assert float(told.change_slope) == pytest.approx(fit.slope, rel=1e-9)
    assert float(told.change_slope_error) == pytest.approx(fit.stderr, rel=1e-9)
    np.testing.assert_allclose(told.change, np.exp(logs.mean(0)), rtol=1e-12)


def test_the_parametrisations_are_told_apart() -> None:
    plain, scaled = (coordinate_check(make, WIDTHS, loss, steps=3) for make in (standard, maximal))
    after = slice(1, None)
    assert np.abs(scaled.change_slope.sel(step=after)).max() < 0.1
    assert plain.change_slope.sel(layer="4", step=after).min() > 0.5


def test_random_numbers_go_on_as_if_nothing_had_been() -> None:
    torch.manual_seed(5)
    wanted = torch.randn(3)
    torch.manual_seed(5)
    with torch.no_grad():
        coordinate_check(standard, [4, 8], loss, steps=1, seeds=[0])
    assert torch.equal(torch.randn(3), wanted)


def test_layers_that_are_not_called_or_give_no_tensor_are_left_out() -> None:
    class Parts(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(width, 2, batch_first=True)
            self.unused, self.up, self.head = nn.Linear(2, 2), nn.Linear(5, width), nn.Linear(width, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.up(x)[None]
            return self.head(self.attend(h, h, h)[0][0])

    def make(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        model = Parts(width)
        return model, torch.optim.SGD(model.parameters(), lr=0.1)

    found = coordinate_check(make, [4, 8], loss, steps=1, seeds=[0])
    assert found.layer.values.tolist() == ["up", "attend", "head"]
    assert np.isnan(found.rms_slope_error).all()  # two points are on any line
    assert np.isfinite(found.change_slope.sel(step=1)).all()


@pytest.mark.parametrize(("make", "given", "words"), [
    (standard, {"widths": [8]}, r"widths=\[8\]; give two different whole numbers"),
    (standard, {"widths": [8, 8]}, r"widths=\[8, 8\]"),
    (standard, {"steps": 0}, r"steps=0"),
    (standard, {"seeds": []}, r"seeds=\[\]"),
    (net, {}, r"got a Sequential from make\(width\).*`return model, optimizer`"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(make, given, words: str) -> None:
    settings = {"widths": [4, 8], "steps": 1, "seeds": [0]} | given
    with pytest.raises(ValueError, match=words):
        coordinate_check(make, settings["widths"], loss, steps=settings["steps"], seeds=settings["seeds"])
