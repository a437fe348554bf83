"""Sharpness-aware steps against the formula, and what they must leave alone."""

import contextlib
import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.interventions import sam


class Quadratic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.curvature = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)
        self.w = nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))

    def forward(self) -> Tensor:
        return (self.curvature * self.w**2).sum() / 2


def net() -> nn.Module:
    """Everything with a state of its own: batch statistics and dropout."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3))


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(32, 8, generator=generator), torch.randint(0, 3, (32,), generator=generator)


@pytest.mark.parametrize("rho", [0.0, 0.05, 2.0])
def test_a_step_follows_the_formula(rho: float) -> None:
    model = Quadratic()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    theta, a = model.w.detach().clone(), model.curvature
    for _ in range(5):
        g = a * theta
        theta = theta - 0.1 * a * (theta + rho * g / g.norm())
        optimizer.zero_grad()
        with sam(model, model, rho=rho) as here:
            model().backward()
        assert here == model()
        optimizer.step()
        torch.testing.assert_close(model.w.detach(), theta, rtol=0, atol=1e-14)


def trained(step: Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], None]) -> dict[str, Tensor]:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(4):
        optimizer.zero_grad()
        step(model, optimizer, *batch())
        optimizer.step()
    return {**model.state_dict(), "random": torch.randn(3)}


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    F.cross_entropy(model(x), y).backward()


def sharp(rho: float) -> Callable[..., None]:
    def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
        def loss() -> Tensor:
            return F.cross_entropy(model(x), y)

        with sam(model, loss, rho=rho):
            loss().backward()

    return step


def test_radius_zero_is_the_plain_step_bit_for_bit() -> None:
    expected, got = trained(plain), trained(sharp(0.0))
    for name, value in expected.items():
        assert torch.equal(got[name], value), name
    assert not torch.equal(trained(sharp(0.05))["0.weight"], expected["0.weight"])


def test_batch_statistics_are_those_at_theta() -> None:
    model, reference = net(), net()
    x, y = batch()
    with torch.no_grad():
        reference(x)
    with sam(model, lambda: F.cross_entropy(model(x), y), rho=1.0):
        F.cross_entropy(model(x), y).backward()
    for ours, theirs in zip(model.buffers(), reference.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_parameters_come_back_bit_for_bit_also_after_an_error() -> None:
    model = net()
    before = copy.deepcopy(model.state_dict())
    x, y = batch()

    def interrupted() -> None:
        with sam(model, lambda: F.cross_entropy(model(x), y), rho=0.3):
            assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for name, param in model.named_parameters():
        assert torch.equal(param, before[name])
        assert param.grad is None


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.frozen, self.unused = nn.Linear(4, 2), nn.Linear(2, 2).requires_grad_(False), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(self.used(x)).square().mean()


def test_frozen_and_unused_parameters_stay_where_they_are() -> None:
    model, x = Parts(), torch.randn(5, 4)
    held = copy.deepcopy(model.state_dict())
    with sam(model, lambda: model(x), rho=0.5):
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, held[name])}
        assert moved == {"used.weight", "used.bias"}
        model(x).backward()
    assert {name for name, param in model.named_parameters() if param.grad is not None} == moved


def test_gradients_add_up_and_can_be_clipped() -> None:
    model = Quadratic()
    model.w.grad = torch.ones(3, dtype=torch.float64)
    with sam(model, model, rho=0.1):
        model().backward()
    g = model.curvature * model.w.detach()
    expected = 1 + model.curvature * (model.w.detach() + 0.1 * g / g.norm())
    torch.testing.assert_close(model.w.grad, expected)
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    assert abs(model.w.grad.norm() - 0.5) < 1e-6


def test_within_autocast_the_perturbed_parameters_are_seen() -> None:
    x, y = batch()

    def gradient(*, around: bool) -> Tensor:
        model = nn.Linear(8, 3)
        with torch.no_grad():
            model.weight.fill_(0.1)
            model.bias.zero_()

        def loss() -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return F.cross_entropy(model(x), y)

        outer = torch.autocast("cpu", torch.bfloat16) if around else contextlib.nullcontext()
        with outer, sam(model, loss, rho=5.0):
            loss().backward()
        assert model.weight.grad is not None
        return model.weight.grad

    assert torch.equal(gradient(around=True), gradient(around=False))


def test_at_a_minimum_nothing_moves() -> None:
    model = Quadratic()
    with torch.no_grad():
        model.w.zero_()
    with sam(model, model, rho=1.0):
        assert torch.equal(model.w.detach(), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("rho", [-0.1, float("nan"), float("inf")])
def test_a_radius_that_means_nothing_is_refused(rho: float) -> None:
    model = Quadratic()
    with pytest.raises(ValueError, match="the radius must be a finite number, 0 or more"), sam(model, model, rho=rho):
        pass


def test_a_watched_step_is_one_step_with_the_loss_that_it_follows() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = batch()
    followed = []

    def loss() -> Tensor:
        return F.cross_entropy(model(x), y)

    with nbtoolkit.watch(model, optimizer) as run:
        for _ in range(5):
            optimizer.zero_grad()
            with sam(model, loss, rho=0.05):
                value = loss()
                value.backward()
            followed.append(value.item())
            optimizer.step()
    seen = run["loss"]["loss"]
    assert seen.sizes["step"] == 5
    torch.testing.assert_close(torch.tensor(seen.values, dtype=torch.float32), torch.tensor(followed))
