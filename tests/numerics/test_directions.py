"""Directions: filters by hand, planes by hand, and what is refused."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics import planes
from nbtoolkit.numerics.directions import filter_normalised, gaussian, layer_normalised, without_biases
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import hessian
from nbtoolkit.numerics.trajectory import Trajectory


def params(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


class Layers(nn.Module):
    """One of each kind whose filters are not to be confused."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.conv = nn.Conv2d(4, 6, 3, groups=2)
        self.up = nn.ConvTranspose2d(4, 6, 3, groups=2)
        self.up1 = nn.ConvTranspose1d(3, 5, 2)
        self.embed = nn.Embedding(7, 3)
        self.attend = nn.MultiheadAttention(4, 2)
        self.lstm = nn.LSTM(3, 4)
        self.norm, self.batch = nn.LayerNorm([3, 4]), nn.BatchNorm2d(3)
        self.own = nn.Parameter(torch.randn(1, 5, 3))
        self.double()


def filters(model: Layers) -> dict[str, list[Any]]:
    """Every filter as an index, written down by hand."""
    rows = {"linear.weight": 4, "conv.weight": 6, "embed.weight": 7, "attend.in_proj_weight": 12, "own": 1}
    rows |= {"attend.out_proj.weight": 4, "lstm.weight_ih_l0": 16, "lstm.weight_hh_l0": 16}
    found: dict[str, list[Any]] = {name: [(row,) for row in range(count)] for name, count in rows.items()}
    # In two groups, inputs 0 and 1 make outputs 0 to 2, inputs 2 and 3 make outputs 3 to 5.
    found["up.weight"] = [(slice(2 * g, 2 * g + 2), out) for g in range(2) for out in range(3)]
    found["up1.weight"] = [(slice(None), out) for out in range(5)]
    return found


def test_every_filter_has_the_length_of_the_one_it_moves() -> None:
    model = Layers()
    theta, drawn = params(model), gaussian(params(model), 0)
    found = filter_normalised(drawn, theta, model)
    assert found.keys() == theta.keys()
    for name, indices in filters(model).items():
        for index in indices:
            torch.testing.assert_close(found[name][index].norm(), theta[name][index].norm(), rtol=1e-12, atol=0)
            cosine = F.cosine_similarity(found[name][index].flatten(), drawn[name][index].flatten(), 0)
            torch.testing.assert_close(cosine, torch.ones_like(cosine))
        sizes = [theta[name][index].numel() for index in indices]
        assert sum(sizes) == theta[name].numel()
    for name in theta.keys() - filters(model).keys():  # biases and norms, as one
        torch.testing.assert_close(found[name].norm(), theta[name].norm(), rtol=1e-12, atol=1e-12)


def test_biases_and_norms_are_left_where_they_are() -> None:
    model = Layers()
    left = params(model).keys() - without_biases(params(model), model).keys()
    assert {"linear.bias", "norm.weight", "norm.bias", "batch.weight", "attend.in_proj_bias", "lstm.bias_hh_l0"} <= left
    assert not left & filters(model).keys()


def test_by_layer_the_whole_tensor_has_its_length() -> None:
    theta = params(Layers())
    for name, part in layer_normalised(gaussian(theta, 0), theta).items():
        torch.testing.assert_close(part.norm(), theta[name].norm(), rtol=1e-12, atol=1e-12)


def test_a_filter_of_zeros_is_not_moved_and_a_prefix_is_known() -> None:
    model = nn.Sequential(nn.ConvTranspose1d(3, 5, 2))
    with torch.no_grad():
        model.get_parameter("0.weight")[:, 1] = 0.0
    theta = {f"net.{name}": param for name, param in params(model).items()}
    found = filter_normalised(gaussian(theta, 0), theta, model, "net.")
    assert not found["net.0.weight"][:, 1].any()
    torch.testing.assert_close(found["net.0.weight"][:, 2].norm(), theta["net.0.weight"][:, 2].norm())


def test_the_draw_is_standard_normal_and_the_seed_decides() -> None:
    theta = {"w": torch.zeros(200, 200), "b": torch.zeros(3, dtype=torch.float64)}
    one, same, other = (gaussian(theta, seed) for seed in (0, 0, 1))
    assert torch.equal(one["w"], same["w"])
    assert not torch.equal(one["w"], other["w"])
    assert one["b"].dtype == torch.float64
    assert abs(float(one["w"].mean())) < 3 / 200
    assert abs(float(one["w"].std()) - 1) < 0.02
    before = torch.get_rng_state()
    gaussian(theta, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_three_models_lie_where_their_coordinates_say() -> None:
    models = [nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double() for _ in range(3)]
    here = params(models[0])
    (u, v), points = planes.through_three(here, models[1], dict(models[2].state_dict()))
    assert abs(planes.inner(u, v)) < 1e-12
    assert math.isclose(planes.inner(u, u), 1, rel_tol=1e-12)
    assert math.isclose(planes.inner(v, v), 1, rel_tol=1e-12)
    for model, (a, b) in zip(models, points.tolist(), strict=True):
        for name, param in params(model).items():
            torch.testing.assert_close(here[name] + a * u[name] + b * v[name], param, rtol=0, atol=1e-12)


def test_eigenvectors_are_those_of_the_dense_hessian() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    loss_at = LossAt(model, (torch.randn(20, 4).double(), torch.arange(20) % 2), F.cross_entropy)
    operator = hessian(loss_at, dict(model.named_parameters()))
    _, vectors = torch.linalg.eigh(operator.dense())
    found = planes.eigenvectors(operator, seed=0, tolerance=1e-8)
    for direction, wanted in zip(found, vectors.T.flip(0), strict=False):
        flat = operator.flat.join(list(direction.values()))
        assert math.isclose(abs(float(flat @ wanted)), 1, rel_tol=1e-6)
        assert float(flat[flat.abs().argmax()]) > 0


def test_the_plane_of_a_trajectory_holds_its_copies() -> None:
    trajectory = Trajectory()
    copies = [{"w": torch.randn(3, 2, dtype=torch.float64), "b": torch.randn(2, dtype=torch.float64)} for _ in range(5)]
    for step, copy in enumerate(copies):
        trajectory.add(step, copy)
    (u, v), coordinates, distances = planes.of_trajectory(trajectory)
    for copy, (a, b), distance in zip(copies, coordinates.tolist(), distances.tolist(), strict=True):
        off = {n: copy[n] - copies[-1][n] - a * u[n] - b * v[n] for n in copy}
        assert math.isclose(math.sqrt(planes.inner(off, off)), distance, rel_tol=1e-6, abs_tol=1e-6)
        assert abs(planes.inner(off, u)) < 1e-9
        assert abs(planes.inner(off, v)) < 1e-9
    assert coordinates[-1].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="copies of the parameters at three steps"):
        planes.of_trajectory(Trajectory())


THETA = {"w": torch.ones(2, 3), "b": torch.ones(2)}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ([{"v": torch.ones(2, 3)}], "moves 'v', which is no trained parameter; there are: w, b"),
        ([{"w": torch.ones(3, 2)}], r"has shape \(3, 2\) for 'w'; the parameter has \(2, 3\)"),
        ([{"w": torch.zeros(2, 3)}], "has length 0"),
        ([{}], "has length 0"),
        ([{"w": torch.full((2, 3), torch.inf)}], "has length inf"),
        ([{"w": torch.ones(2, 3)}, {"w": -2 * torch.ones(2, 3)}], "parallel .cosine -1.0"),
    ],
)
def test_directions_that_cannot_be_walked_are_refused(pair: list[dict[str, Tensor]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planes.checked(pair, THETA)


def test_parameters_that_cannot_be_moved_are_refused() -> None:
    with pytest.raises(ValueError, match="2 directions need as many parameters; there is 1"):
        planes.checked([{"w": torch.ones(1)}, {"w": -torch.ones(1)}], {"w": torch.ones(1)})
    whole = {"w": torch.ones(3, dtype=torch.int64)}
    with pytest.raises(ValueError, match=r"'w' is of torch\.int64; only floating point"):
        gaussian(whole, 0)
    with pytest.raises(ValueError, match=r"'w' is of torch\.int64"):
        planes.checked([{"w": torch.ones(3)}], whole)
    with pytest.raises(ValueError, match="other model does not have 'w'"):
        planes.between(THETA, nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"other model has in shape \(2,\) 'w'"):
        planes.between(THETA, {"w": torch.ones(2)})
