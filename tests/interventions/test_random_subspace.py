"""The subspace against its formula, and what it must leave alone."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.interventions import RandomSubspace

PROJECTIONS = ["dense", "orthonormal", "sparse"]


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)]
    model = nn.Sequential(*layers).double()
    model[5].weight.requires_grad_(False)  # type: ignore[union-attr]
    return model


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (20,), generator=generator)


def dense(model: RandomSubspace) -> Tensor:
    return model.columns.to_dense()


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_its_parameters_are_phi_and_its_columns_unit_vectors(projection: str) -> None:
    plain = network()
    model = RandomSubspace(plain, 10, seed=3, projection=projection)
    assert [name for name, _ in model.named_parameters()] == ["phi"]
    assert model.phi.shape == (10,)
    size = sum(param.numel() for param in plain.parameters() if param.requires_grad)
    assert dense(model).shape == (size, 10)
    torch.testing.assert_close(dense(model).norm(dim=0), torch.ones(10, dtype=torch.float64), rtol=0, atol=1e-7)
    if projection == "orthonormal":
        torch.testing.assert_close(dense(model).T @ dense(model), torch.eye(10, dtype=torch.float64))
    x, _ = batch()
    assert torch.equal(model(x), plain(x))
    assert torch.equal(dense(RandomSubspace(plain, 10, seed=3, projection=projection)), dense(model))
    assert not torch.equal(dense(RandomSubspace(plain, 10, seed=4, projection=projection)), dense(model))


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_it_is_the_model_at_theta_and_its_gradient_is_projected(projection: str) -> None:
    plain, (x, y) = network(), batch()
    model = RandomSubspace(plain, 12, projection=projection)
    with torch.no_grad():
        model.phi.copy_(torch.randn(12, dtype=torch.float64))
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    trained = [param for param in plain.parameters() if param.requires_grad]
    with torch.no_grad():
        moved = (dense(model) @ model.phi).split([param.numel() for param in trained])
        for param, part in zip(trained, moved, strict=True):
            param.add_(part.view_as(param))
    expected = F.cross_entropy(plain(x), y)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(expected, trained)])
    assert model.phi.grad is not None
    torch.testing.assert_close(model.phi.grad, dense(model).T @ gradient, rtol=1e-10, atol=1e-12)
    for name, param in plain.named_parameters():
        if param.requires_grad:
            torch.testing.assert_close(model.theta()[name], param, rtol=0, atol=1e-12)


class Quadratic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64))

    def forward(self, curvature: Tensor, target: Tensor) -> Tensor:
        away = self.w - target
        return (away @ curvature @ away) / 2


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_all_dimensions_reach_the_minimum_of_the_whole_model(projection: str) -> None:
    generator = torch.Generator().manual_seed(2)
    root = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    curvature, target = root @ root.T + torch.eye(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    seed = next(
        s
        for s in range(99)
        if torch.linalg.cond(dense(RandomSubspace(Quadratic(), 4, seed=s, projection=projection))) < 50
    )
    model = RandomSubspace(Quadratic(), 4, seed=seed, projection=projection)
    gradient = torch.autograd.grad(model(curvature, target), model.phi)[0]
    hessian = dense(model).T @ curvature @ dense(model)
    with torch.no_grad():
        model.phi.sub_(torch.linalg.solve(hessian, gradient))  # Newton's step
    assert model(curvature, target).item() < 1e-20
    torch.testing.assert_close(model.theta()["w"], target, rtol=0, atol=1e-10)


def test_a_subspace_reaches_the_lowest_point_in_it() -> None:
    curvature, target = torch.diag(torch.tensor([4.0, 1.0, 2.0, 3.0], dtype=torch.float64)), torch.zeros(4).double()
    model = RandomSubspace(Quadratic(), 2, seed=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(500):
        optimizer.zero_grad()
        model(curvature, target).backward()
        optimizer.step()
    p, start = dense(model), Quadratic().w.detach()
    best = -torch.linalg.solve(p.T @ curvature @ p, p.T @ curvature @ start)
    torch.testing.assert_close(model.phi.detach(), best, rtol=0, atol=1e-9)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.embed(tokens))


def test_tied_weights_stay_tied_also_after_a_change_of_dtype() -> None:
    model = RandomSubspace(Tied(), 3).double()
    with torch.no_grad():
        model.phi.fill_(1.0)
    weight = model.theta()["embed.weight"]
    assert list(model.theta()) == ["embed.weight"]
    torch.testing.assert_close(model(torch.arange(5)), weight @ weight.T)


def test_the_model_given_and_the_random_state_are_left_alone() -> None:
    plain, (x, y) = network(), batch()
    before, state = copy.deepcopy(plain.state_dict()), torch.get_rng_state()
    model = RandomSubspace(plain, 5)
    assert torch.equal(torch.get_rng_state(), state)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(param.grad is None for param in plain.parameters())
    assert int(model.within.get_buffer("1.num_batches_tracked")) == 3  # its own statistics go on
    assert not torch.equal(model.within.get_buffer("1.running_mean"), before["1.running_mean"])


def test_a_state_dict_brings_it_back() -> None:
    x, _ = batch()
    model = RandomSubspace(network(), 5, seed=2)
    with torch.no_grad():
        model.phi.normal_()
    again = RandomSubspace(network(), 5, seed=2)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x), model.eval()(x))


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("own", [{"seed": 3}, {"seed": 3, "projection": "dense"}, {"projection": "sparse"}])
def test_what_is_loaded_computes_what_was_saved(projection: str, own: dict) -> None:
    x, _ = batch()
    model = RandomSubspace(network(), 5, seed=2**64 - 1, projection=projection)
    with torch.no_grad():
        model.phi.normal_()
    state = model.state_dict()
    assert all(isinstance(value, Tensor) for value in state.values())
    again = RandomSubspace(network(), 5, **own)
    again.load_state_dict(state)
    assert torch.equal(again.eval()(x), model.eval()(x))
    third = RandomSubspace(network(), 5)
    third.load_state_dict(again.state_dict())
    assert torch.equal(third.eval()(x), model(x))


def test_a_subspace_drawn_in_another_dtype_is_loaded_as_it_was() -> None:
    x, _ = batch()
    model = RandomSubspace(network().bfloat16(), 5, seed=1).double()
    again = RandomSubspace(network(), 5, seed=1)
    assert not torch.equal(again.columns, model.columns)
    with torch.no_grad():
        model.phi.normal_()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x), model.eval()(x))
    assert again.columns.dtype == torch.float64


def test_a_state_of_another_dimension_is_refused_before_anything_is_loaded() -> None:
    model, other = RandomSubspace(network(), 5), RandomSubspace(network(), 4)
    with torch.no_grad():
        other.within.get_buffer("0.weight").add_(1)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"dimension=4, and this one has dimension=5; make RandomSubspace\(model, 4\)"):
        model.load_state_dict(other.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    model = RandomSubspace(network(), np.int64(5), seed=np.int64(3))  # type: ignore[arg-type]
    assert torch.equal(model.columns, RandomSubspace(network(), 5, seed=3).columns)


def test_a_watched_run_in_a_subspace() -> None:
    model, (x, y) = RandomSubspace(network(), 5), batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    items = [nbtoolkit.instruments.grad_norm, nbtoolkit.instruments.sharpness]
    with nbtoolkit.watch(model, optimizer, instruments=items, loss=F.cross_entropy, probe=(x, y)) as run:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert list(run["grad_norm"].param.values) == ["phi"]
    assert float(run["sharpness"].sharpness[0]) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimension": 0}, r"dimension=0; the model has 147 trained parameters"),
        ({"dimension": 148}, r"dimension=148; .* between 1 and that"),
        ({"dimension": 1.5}, r"dimension=1\.5; the model has .* a whole number between 1 and that"),
        ({"dimension": True}, r"dimension=True; the model has"),
        ({"dimension": 3, "seed": "a"}, r"seed='a'; give a whole number from 0"),
        ({"dimension": 3, "seed": 2**70}, r"seed=1180591620717411303424; give a whole number from 0"),
        ({"model": 3, "dimension": 2}, r"got a int as the model; it needs a torch\.nn\.Module"),
        ({"dimension": 3, "projection": "fast"}, r"projection='fast'; choose one of dense, orthonormal, sparse"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        RandomSubspace(**{"model": network(), **arguments})
    assert "\n" not in str(caught.value)
