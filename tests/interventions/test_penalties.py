"""Penalties on the parameters: their values, their gradients, and where they vanish."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nbtoolkit.interventions import L2Init, SpectralReg


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.LayerNorm(12), nn.ReLU(), nn.Linear(12, 5)).double()


def moved(model: nn.Module, size: float = 0.3) -> nn.Module:
    with torch.no_grad():
        for param in model.parameters():
            param.add_(size * torch.randn_like(param))
    return model


# -- regeneration ------------------------------------------------------------------------------


def test_regeneration_is_zero_at_the_start_with_gradient_zero() -> None:
    model = network()
    penalty = L2Init(model, 0.1).penalty()
    penalty.backward()
    assert penalty == 0
    assert all(param.grad is not None and not param.grad.any() for param in model.parameters())


def test_regeneration_is_the_squared_distance() -> None:
    model = network()
    start = copy.deepcopy(dict(model.named_parameters()))
    pull = L2Init(model, 0.1)
    moved(model)
    pull.penalty().backward()
    distance = sum(((param - start[name]) ** 2).sum() for name, param in model.named_parameters())
    torch.testing.assert_close(pull.penalty(), 0.1 * distance)
    for name, param in model.named_parameters():
        torch.testing.assert_close(param.grad, (0.2 * (param - start[name])).detach())


def test_regeneration_leaves_frozen_parameters_out() -> None:
    model = network()
    model[0].requires_grad_(False)
    pull = L2Init(model, 1.0)
    with torch.no_grad():
        model[0].weight.add_(1.0)
    assert pull.penalty() == 0
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        L2Init(model.requires_grad_(False), 1.0)


def test_regeneration_knows_parameters_by_name() -> None:
    model = network()
    pull, old = L2Init(model, 1.0), model[3]
    model[3] = nn.Linear(12, 5).double()
    expected = (model[3].weight - old.weight).square().sum() + (model[3].bias - old.bias).square().sum()
    torch.testing.assert_close(pull.penalty(), expected)
    model[3] = nn.Linear(12, 7).double()
    with pytest.raises(ValueError, match=r"L2Init holds .* 3.weight is \(7, 12\) and was \(5, 12\); 3.bias is"):
        pull.penalty()


# -- spectrum ----------------------------------------------------------------------------------


def exact(model: nn.Module, power: int) -> Tensor:
    """From singular values, layer by layer."""
    total = torch.zeros((), dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            total = total + (module.weight.abs().max() ** power - 1) ** 2 + module.bias.norm() ** (2 * power)
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            largest = torch.linalg.matrix_norm(module.weight.flatten(1), ord=2)
            total = total + (largest**power - 1) ** 2
            total = total + (0 if module.bias is None else module.bias.norm() ** (2 * power))
    return total


@pytest.mark.parametrize("power", [1, 2, 3])
def test_the_spectral_penalty_and_its_gradient_are_those_of_the_svd(power: int) -> None:
    model = moved(network())
    regulariser = SpectralReg(model, 0.3, power=power, rounds=2000)
    penalty, expected = regulariser.penalty(), 0.3 * exact(model, power)
    torch.testing.assert_close(penalty, expected, rtol=1e-12, atol=0)
    params = [*model.parameters()]
    for one, other in zip(torch.autograd.grad(penalty, params), torch.autograd.grad(expected, params), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_kernels_are_matrices_of_their_outputs() -> None:
    torch.manual_seed(2)
    model: Any = nn.Conv2d(3, 4, 3).double()
    torch.testing.assert_close(SpectralReg(model, 1.0, rounds=2000).penalty(), exact(model, 2), rtol=1e-12, atol=0)


def test_it_vanishes_where_singular_values_are_one_and_biases_zero() -> None:
    model: Any = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 5)).double()
    for layer in (model[0], model[2]):
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
    penalty = SpectralReg(model, 1.0).penalty()
    penalty.backward()
    assert abs(penalty) < 1e-24
    for param in model.parameters():
        assert param.grad is not None
        assert param.grad.abs().max() < 1e-12


def test_one_round_a_call_follows_a_training() -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 10)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    regulariser = SpectralReg(model, 1e-2)
    x, y = torch.randn(64, 20).double(), torch.randint(0, 10, (64,))
    apart = []
    for _ in range(200):
        optimizer.zero_grad()
        (nn.functional.cross_entropy(model(x), y) + regulariser.penalty()).backward()
        optimizer.step()
        found = regulariser.singular_values()
        largest = [torch.linalg.matrix_norm(model[place].weight, ord=2) for place in (0, 2)]
        assert all(one <= other * (1 + 1e-12) for one, other in zip(found, largest, strict=True))
        apart.append(max(float(1 - (one / other).detach()) for one, other in zip(found, largest, strict=True)))
    assert max(apart) < 0.2
    assert sorted(apart)[100] < 0.08
    for _ in range(3000):
        found = regulariser.singular_values()
    for one, other in zip(found, largest, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=0)


def test_descent_brings_the_largest_singular_value_to_one() -> None:
    model: Any = nn.Linear(10, 10, bias=False).double()
    with torch.no_grad():
        model.weight.mul_(5)
    regulariser = SpectralReg(model, 1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2000):
        optimizer.zero_grad()
        regulariser.penalty().backward()
        optimizer.step()
    assert abs(torch.linalg.matrix_norm(model.weight, ord=2) - 1) < 1e-3


def test_the_global_random_state_is_not_used_and_seeds_agree_in_the_end() -> None:
    model, random = moved(network()), torch.get_rng_state()
    one, other = (SpectralReg(model, 1.0, seed=seed, rounds=2000).penalty() for seed in (0, 1))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_weight_of_zeros_has_the_singular_value_zero() -> None:
    model: Any = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(model.weight)
    penalty = SpectralReg(model, 1.0).penalty()
    penalty.backward()
    assert penalty == 1
    assert model.weight.grad is not None
    assert model.weight.grad.isfinite().all()


MATRICES = {
    "zero": torch.zeros(4, 4),
    "small": torch.full((4, 4), 1e-20),
    "without the direction found": torch.diag(torch.tensor([0.0, 2.0, 0.0, 0.0])),
    "not finite": torch.full((4, 4), float("nan")),
}


@pytest.mark.parametrize("was", MATRICES)
def test_after_any_weight_the_next_one_counts(was: str) -> None:
    model: Any = nn.Linear(4, 4, bias=False)
    regulariser = SpectralReg(model, 1.0, power=1)
    with torch.no_grad():
        for weight in (MATRICES[was], torch.diag(torch.tensor([3.0, 0.0, 0.0, 1.0]))):
            model.weight.copy_(weight)
            for _ in range(30):
                (found,) = regulariser.singular_values()
    assert found.item() == pytest.approx(3, rel=1e-4)
    (gradient,) = torch.autograd.grad(regulariser.penalty(), model.weight)
    torch.testing.assert_close(gradient, torch.diag(torch.tensor([4.0, 0, 0, 0])), rtol=1e-3, atol=1e-3)


def test_a_weight_that_begins_as_zero_counts_when_it_moves() -> None:
    model: Any = nn.Linear(4, 4, bias=False)
    nn.init.zeros_(model.weight)
    regulariser = SpectralReg(model, 1.0)
    with torch.no_grad():
        model.weight.copy_(3 * torch.eye(4))
    assert regulariser.penalty().item() == pytest.approx((3**2 - 1) ** 2, rel=1e-5)


def test_a_weight_of_tiny_entries_is_followed() -> None:
    model: Any = nn.Linear(6, 6, bias=False).double()
    with torch.no_grad():
        model.weight.mul_(1e-12)
    (found,) = SpectralReg(model, 1.0, rounds=2000).singular_values()
    torch.testing.assert_close(found, torch.linalg.matrix_norm(model.weight, ord=2), rtol=1e-9, atol=0)


def test_scales_of_several_dims_count_once() -> None:
    model: Any = nn.LayerNorm([2, 3]).double()
    with torch.no_grad():
        model.weight.mul_(2)
        model.bias.fill_(0.5)
    assert SpectralReg(model, 1.0).penalty().item() == pytest.approx((2**2 - 1) ** 2 + (6 * 0.5**2) ** 2, rel=1e-12)


def test_the_spectrum_is_that_of_the_model_as_it_is_now() -> None:
    model = network()
    regulariser = SpectralReg(model, 0.3, rounds=2000)
    model[3] = nn.Linear(12, 5).double()
    torch.testing.assert_close(regulariser.penalty(), 0.3 * exact(model, 2), rtol=1e-12, atol=0)
    model.float()
    torch.testing.assert_close(regulariser.penalty(), 0.3 * exact(model, 2).float(), rtol=1e-5, atol=0)
    model[3] = nn.Linear(12, 7)
    with pytest.raises(ValueError, match=r"SpectralReg holds .* 3.weight is \(7, 12\) and was \(5, 12\)"):
        regulariser.penalty()


WORD: Any = "much"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: L2Init(model, -1.0), "strength=-1.0"), (lambda model: L2Init(model, WORD), "strength='much'"),
        (lambda model: SpectralReg(model, float("inf")), "strength=inf"),
        (lambda model: SpectralReg(model, 1.0, power=0), "power=0"),
        (lambda model: SpectralReg(model, 1.0, rounds=0), "rounds=0"),
        (lambda model: SpectralReg(model, 1.0, seed=-1), "seed=-1"),
        (lambda model: SpectralReg(model.requires_grad_(False), 1.0), "no parameter that requires a gradient"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(network())
