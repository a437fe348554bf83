"""Distillation against the formula of the paper."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.interventions import LwF


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 5)).double()


def moved(model: nn.Module) -> None:
    with torch.no_grad():
        for param in model.parameters():
            param.add_(0.3 * torch.randn_like(param))


def gradient(loss: Tensor, model: nn.Module) -> Tensor:
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, [*model.parameters()])])


def authors(old: Tensor, new: Tensor, temperature: float) -> Tensor:
    """Equations 2 and 3: probabilities to the power 1/T, normalised anew; the mean over examples."""
    y, z = old.softmax(1) ** (1 / temperature), new.softmax(1) ** (1 / temperature)
    y, z = y / y.sum(1, keepdim=True), z / z.sum(1, keepdim=True)
    return -(y * z.log()).sum(1).mean()


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_it_is_the_loss_of_the_paper_less_the_entropy_of_the_old_outputs(temperature: float) -> None:
    model, x = network(), torch.randn(9, 6).double()
    old = model(x).detach()
    distil = LwF(model, 0.7, temperature=temperature)
    moved(model)
    found = distil.penalty(model(x), x)
    expected = 0.7 * (authors(old, model(x), temperature) - authors(old, old, temperature))
    torch.testing.assert_close(found, expected)
    assert found > 1e-3
    torch.testing.assert_close(gradient(found, model), gradient(expected, model))


def test_where_it_is_made_it_is_zero_with_gradient_zero() -> None:
    model, x = network(), torch.randn(9, 6).double()
    found = LwF(model).penalty(model(x), x)
    assert abs(found) < 1e-15
    assert gradient(found, model).abs().max() < 1e-15


def test_only_the_outputs_of_old_classes_are_held() -> None:
    model, x = network(), torch.randn(9, 6).double()
    distil, old = LwF(model, classes=[0, 2]), model(x).detach()
    outputs = old.clone()
    outputs[:, [1, 3, 4]] += torch.randn(9, 3).double()
    assert abs(distil.penalty(outputs, x)) < 1e-15
    outputs[:, 2] += 1
    expected = authors(old[:, [0, 2]], outputs[:, [0, 2]], 2.0) - authors(old[:, [0, 2]], old[:, [0, 2]], 2.0)
    torch.testing.assert_close(distil.penalty(outputs, x), expected)


def test_the_copy_is_frozen_in_eval_mode_and_the_model_untouched() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    model(torch.randn(16, 4))
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    distil, x = LwF(model), torch.randn(16, 4, generator=torch.Generator())
    outputs = torch.zeros(16, 3, requires_grad=True)
    found = distil.penalty(outputs, x)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(found, distil.penalty(outputs, x))
    assert all(module.training for module in model.modules())
    assert all(param.requires_grad for param in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    found.backward()
    assert all(param.grad is None for param in (*model.parameters(), *distil.model.parameters()))
    expected = copy.deepcopy(model).eval()(x)
    torch.testing.assert_close(found.detach(), F.kl_div(
        outputs.detach().log_softmax(1), (expected / 2).log_softmax(1), log_target=True, reduction="batchmean"
    ))  # fmt: skip


class TwoInputs(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


def test_inputs_may_be_several_arguments() -> None:
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    distil = LwF(TwoInputs())
    assert abs(distil.penalty(a + b, (a, b))) < 1e-7
    assert torch.equal(distil.penalty(a, (a, b)), distil.penalty(a, {"a": a, "b": b}))


class Masked(nn.Module):
    """Only the first outputs compete."""

    def __init__(self, allowed: int) -> None:
        super().__init__()
        self.linear, self.allowed = network(), allowed

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).masked_fill(torch.arange(5) >= self.allowed, -torch.inf)


def test_masked_outputs_count_nothing() -> None:
    model, x = Masked(3), torch.randn(9, 6).double()
    old = model(x).detach()
    distil = LwF(model)
    moved(model)
    found = distil.penalty(model(x), x)
    expected = authors(old[:, :3], model(x)[:, :3], 2.0) - authors(old[:, :3], old[:, :3], 2.0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, model), gradient(expected, model))
    model.allowed = 5  # open now: what they take is taken from the old ones
    opened = authors(old, model(x), 2.0) - authors(old[:, :3], old[:, :3], 2.0)
    torch.testing.assert_close(distil.penalty(model(x), x), opened)
    model.allowed = 2
    assert distil.penalty(model(x), x) == torch.inf


def test_a_head_that_has_grown_is_held_on_its_first_outputs() -> None:
    model, x = network(), torch.randn(9, 6).double()
    distil, old = LwF(model), model(x).detach()
    assert abs(distil.penalty(torch.cat([old, torch.randn(9, 2).double()], 1), x)) < 1e-15
    grown = torch.randn(9, 7).double()
    torch.testing.assert_close(distil.penalty(grown, x), distil.penalty(grown[:, :5], x))
    assert distil.penalty(grown, x) > 0


def test_outputs_that_cannot_be_held_are_refused() -> None:
    model, x = network(), torch.randn(9, 6).double()
    for classes, outputs, message in (
        (None, torch.zeros(9, 4), r"outputs \(9, 4\), where the old model gives \(9, 5\); they must be all there"),
        (None, torch.zeros(8, 5), "for the same examples"), (None, torch.zeros(9), "all there"),
        ([0, 4], torch.zeros(9, 4), "there up to 4"), ([0, 6], torch.zeros(9, 7), "there up to 6"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            LwF(model, classes=classes).penalty(outputs, x)
    bad_ones: list[Any] = [[], [-1], [0.5], [True]]
    for bad in bad_ones:
        with pytest.raises(ValueError, match="classes="):
            LwF(model, classes=bad)
    assert LwF(model, classes=torch.tensor([0, 2])).classes == [0, 2]  # type: ignore[arg-type]


MODEL: Any = "model"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LwF(MODEL), "got a str as the model"), (lambda: LwF(network(), -1.0), "strength=-1.0"),
        (lambda: LwF(network(), temperature=0), "temperature=0"),
        (lambda: LwF(network(), temperature=float("nan")), "temperature=nan"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
