"""Units in another's order: the same function, closer weights."""

import copy

import pytest
import torch
from torch import nn

from nbtoolkit.interventions import align_units


def network(seed: int, width: int = 12) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = (nn.Linear(5, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.Tanh())
    return nn.Sequential(*layers, nn.Linear(width, 3)).double()


def shuffled(model: nn.Sequential, seed: int) -> nn.Sequential:
    """By hand: the first hidden layer in another order."""
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
            other.state_dict()[name].copy_(model.state_dict()[name][order])
        other.state_dict()["3.weight"].copy_(model.state_dict()["3.weight"][:, order])
    return other


def test_a_shuffled_copy_is_put_back_in_order() -> None:
    model, x = network(0), torch.randn(32, 5, dtype=torch.float64)
    model(x)  # statistics that tell the units apart
    other = shuffled(model, 1)
    found = align_units(other, model, x)
    for name, value in model.state_dict().items():
        assert torch.equal(found[name], value), name


def test_it_computes_the_same_and_changes_neither_model() -> None:
    model, other, x = network(0).eval(), network(1).eval(), torch.randn(32, 5, dtype=torch.float64)
    before = [copy.deepcopy(one.state_dict()) for one in (model, other)]
    state = torch.get_rng_state()
    found = align_units(other, model, x)
    assert torch.equal(torch.get_rng_state(), state)
    for one, kept in zip((model, other), before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in one.state_dict().items())
    wanted = other(x)
    other.load_state_dict(found)
    torch.testing.assert_close(other(x), wanted, rtol=1e-12, atol=1e-12)

    def apart(state: dict[str, torch.Tensor]) -> float:
        return sum(float((state[n] - v.detach()).square().sum()) for n, v in model.named_parameters())

    assert apart(found) < apart(before[1])


def test_models_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.weight"):
        align_units(network(0), network(0, width=8), torch.randn(4, 5, dtype=torch.float64))
