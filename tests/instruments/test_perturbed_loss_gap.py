"""The rise of the loss against its expansion to second order."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nbtoolkit.instruments._perturbed_loss_gap import perturbed_loss_gap
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import hessian


def classifier() -> tuple[nn.Module, LossAt]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    model[0].bias.requires_grad_(False)  # type: ignore[union-attr]
    x, y = torch.randn(50, 6, dtype=torch.float64), torch.randint(0, 3, (50,))
    return model, LossAt(model, [(x[:30], y[:30]), (x[30:], y[30:])], F.cross_entropy)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def test_along_the_gradient_it_is_the_expansion_to_second_order() -> None:
    model, loss_at = classifier()
    operator = hessian(loss_at, dict(model.named_parameters()))
    slope = operator.gradient()
    uphill = slope / slope.norm()
    curvature = float(uphill @ operator(uphill))
    radii = (0.0, 0.01, 0.02, 0.05)
    found = perturbed_loss_gap(loss_at, parameters(model), radii=radii)["rise"]
    for radius, rise in zip(radii, found, strict=True):
        expected = radius * float(slope.norm()) + radius**2 * curvature / 2
        assert abs(rise - expected) <= 0.05 * expected
    beyond_first = found[1:] - np.array(radii[1:]) * float(slope.norm())
    np.testing.assert_allclose(beyond_first, np.array(radii[1:]) ** 2 * curvature / 2, rtol=0.05)
    assert found[0] == 0


def test_in_random_directions_it_is_the_mean_curvature() -> None:
    model, loss_at = classifier()
    operator = hessian(loss_at, dict(model.named_parameters()))
    radii = (0.0, 0.05, 0.1)
    found = perturbed_loss_gap(loss_at, parameters(model), radii=radii, directions=200)
    expected = np.array(radii) ** 2 * float(operator.dense().trace()) / (2 * operator.size)
    np.testing.assert_array_less(np.abs(found["random_rise"] - expected), 3 * found["random_rise_error"] + 1e-12)
    np.testing.assert_allclose(found["random_rise"], expected, rtol=0.1)
    assert found["random_rise"][0] == found["random_rise_error"][0] == 0


def test_the_error_is_that_of_the_mean_over_directions() -> None:
    model, loss_at = classifier()
    runs = [perturbed_loss_gap(loss_at, parameters(model), seed=4 * seed) for seed in range(100)]
    means = np.array([run["random_rise"] for run in runs])
    claimed = np.sqrt(np.mean([run["random_rise_error"] ** 2 for run in runs], axis=0))
    assert np.all(np.abs(claimed / means.std(0, ddof=1) - 1) < 0.25)
    assert np.isnan(perturbed_loss_gap(loss_at, parameters(model), directions=1)["random_rise_error"]).all()


class Bowl(nn.Module):
    def __init__(self, *w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self) -> Tensor:
        return self.w.square().sum() / 2


def bowl(*w: float) -> tuple[LossAt, dict[str, Tensor]]:
    model = Bowl(*w)
    return LossAt(model, lambda model: model()), parameters(model)


def test_a_quadratic_is_exact() -> None:
    found = perturbed_loss_gap(*bowl(1.0, -2.0, 0.5), radii=(0.3,), directions=5)
    assert abs(found["rise"][0] - (0.3 * math.sqrt(5.25) + 0.045)) < 1e-7
    assert abs(found["random_rise"][0] - 0.045) < 1e-7


def test_without_a_slope_there_is_no_uphill() -> None:
    found = perturbed_loss_gap(*bowl(0.0, 0.0))
    assert np.isnan(found["rise"]).all()
    assert np.isfinite(found["random_rise"]).all()


def test_a_probe_that_overlooks_the_parameters_is_refused() -> None:
    constant = torch.ones(2, requires_grad=True)
    _, params = bowl(1.0, 2.0)
    with pytest.raises(ValueError, match="the probe's loss does not depend on the parameters it was given"):
        perturbed_loss_gap(LossAt(Bowl(1.0, 2.0), lambda model: constant.sum()), params)


def test_nothing_is_moved() -> None:
    model, loss_at = classifier()
    params = parameters(model)
    before, random = {name: param.clone() for name, param in params.items()}, torch.get_rng_state()
    one = perturbed_loss_gap(loss_at, params)
    for name, param in params.items():
        assert torch.equal(param, before[name])
        assert not param.requires_grad
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in perturbed_loss_gap(loss_at, params).items():
        np.testing.assert_array_equal(value, one[name])


@pytest.mark.parametrize("directions", [1, 4])
def test_the_declared_cost_is_that_of_the_operations(directions: int) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    x, y = torch.randn(128, 64), torch.randint(0, 10, (128,))
    item = perturbed_loss_gap.using(directions=directions)
    with FlopCounterMode(display=False) as forward:
        model(x)
    with FlopCounterMode(display=False) as measured, torch.no_grad():
        item.measure(LossAt(model, (x, y), F.cross_entropy), parameters(model))
    passes = measured.get_total_flops() / forward.get_total_flops()
    assert abs(passes - item.forward_passes()) <= 0.25 * item.forward_passes()
