"""Slices through models and copies that differ in more than what is trained now."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.instruments import LossAt, Trajectory, landscape_slice

NONE = Trajectory()


def three() -> tuple[list[nn.Sequential], LossAt]:
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)).double() for _ in range(3)]
    x = torch.randn(20, 4).double()
    models[0][0].requires_grad_(False)
    return models, LossAt(models[0], (x, torch.arange(20) % 2), F.cross_entropy)


def params(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def losses(models: list[nn.Sequential], loss_at: LossAt) -> list[float]:
    ((_, (x, y)),) = loss_at.weighted()
    return [float(F.cross_entropy(copy.deepcopy(model).eval()(x), y).detach()) for model in models]


@pytest.mark.parametrize("given", ["all", "trained"])
def test_the_plane_through_models_whose_frozen_parameters_differ(given: str) -> None:
    (model, second, third), loss_at = three()
    theta = params(model)
    if given == "trained":  # an optimizer that does not hold the others
        theta = {name: part for name, part in theta.items() if not name.startswith("0.")}
    found = landscape_slice(loss_at, theta, NONE, points=3, directions=(second, third))
    np.testing.assert_allclose(found["path_loss"][:3], losses([second, third, model], loss_at), rtol=1e-10)
    np.testing.assert_allclose(found["plane_loss"][:3], found["path_loss"][:3], rtol=1e-12)
    assert (found["path_distance"][:3] == 0).all()


def test_models_with_other_buffers_are_refused() -> None:
    (model, second, third), loss_at = three()
    third[1](torch.randn(9, 5).double())
    with pytest.raises(ValueError, match=r"other '1\.running_mean' than this one.*statistics='reestimated'") as caught:
        landscape_slice(loss_at, params(model), NONE, points=3, directions=(second, third))
    assert "\n" not in str(caught.value)
    found = landscape_slice(
        loss_at, params(model), NONE, points=3, directions=(second, third), statistics="reestimated"
    )
    for one in (model, second, third):
        one.eval()[1].train()
    ((_, (x, y)),) = loss_at.weighted()
    wanted = [float(F.cross_entropy(one(x), y).detach()) for one in (second, third, model)]
    np.testing.assert_allclose(found["path_loss"][:3], wanted, rtol=1e-10)
    for one in (model, second, third):
        one.register_buffer("scale", torch.ones(1))
    second.get_buffer("scale").add_(1)
    with pytest.raises(ValueError, match="other 'scale' than this one, which no direction moves"):
        landscape_slice(loss_at, params(model), NONE, points=3, directions=(second, third), statistics="reestimated")


@pytest.mark.parametrize("moved", [False, True])
def test_a_trajectory_with_frozen_parameters(moved: bool) -> None:
    (model, second, third), loss_at = three()
    passed = Trajectory()
    for place, one in enumerate((second, third, model)):
        if not moved:
            one.load_state_dict({**one.state_dict(), **{n: p for n, p in model.state_dict().items() if n[0] == "0"}})
        passed.add(place, params(one))
    found = landscape_slice(loss_at, params(model), passed, points=3, directions="trajectory")
    np.testing.assert_allclose(found["path_loss"][:3], losses([second, third, model], loss_at), rtol=1e-10)
    np.testing.assert_allclose(found["plane_loss"][:3], found["path_loss"][:3], rtol=1e-10)


def test_parameters_that_are_nan_are_named() -> None:
    (model, *_), loss_at = three()
    with torch.no_grad():
        model.get_parameter("3.weight")[0, 0] = torch.nan
    for directions in ("filter", "gaussian", "eigenvectors"):
        with pytest.raises(ValueError, match=r"the parameters are NaN \('3\.weight' is the first\)"):
            landscape_slice(loss_at, params(model), NONE, points=3, directions=directions)
