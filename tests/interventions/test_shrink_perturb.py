"""Shrunk and perturbed parameters against the formula."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from nbtoolkit.interventions import shrink_perturb


def network(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 5))


def test_a_given_start_is_mixed_in() -> None:
    model, other = network(), network(1)
    before = copy.deepcopy(dict(model.named_parameters()))
    new = copy.deepcopy(other.state_dict())
    shrink_perturb(model, 0.6, 0.3, fresh=other)
    for name, param in model.named_parameters():
        torch.testing.assert_close(param, 0.6 * before[name] + 0.3 * new[name])
    for name, value in other.state_dict().items():
        assert torch.equal(value, new[name])


def test_all_shrink_and_no_perturbation_changes_nothing() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    shrink_perturb(model, 1.0, 0.0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_fresh_start_is_what_the_layers_draw() -> None:
    model = network()
    model(torch.randn(8, 6))
    held = [buffer.clone() for buffer in model.buffers()]
    shrink_perturb(model, 0.0, 1.0, seed=5)
    torch.manual_seed(5)
    expected = [nn.Linear(6, 12), nn.Linear(12, 5)]
    # Layers are drawn the innermost and last first, so that each is compared in its distribution.
    for layer, like in zip((model[0], model[3]), expected, strict=True):
        bound = layer.in_features**-0.5
        assert layer.weight.abs().max() <= bound
        assert abs(layer.weight.std() / like.weight.std() - 1) < 0.2
    assert torch.equal(model[1].weight, torch.ones(12))
    for before, after in zip(held, model.buffers(), strict=True):
        assert torch.equal(before, after)


def test_seeds_differ_and_the_global_random_state_is_not_used() -> None:
    random = torch.get_rng_state()
    found = []
    for seed in (0, 0, 1):
        model: Any = nn.Linear(4, 4)
        torch.set_rng_state(random)
        shrink_perturb(model, 0.0, 1.0, seed=seed)
        assert torch.equal(torch.get_rng_state(), random)
        found.append(model.weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_frozen_parameters_stay() -> None:
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    shrink_perturb(model, 0.5, 0.5)
    assert torch.equal(model[0].weight, before)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


WORD: Any = "half"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: shrink_perturb(network(), WORD, 0.1), "shrink='half'"),
        (lambda: shrink_perturb(network(), 0.5, -0.1), "perturb=-0.1"),
        (lambda: shrink_perturb(network(), 0.5, 0.1, seed=-1), "seed=-1"),
        (lambda: shrink_perturb(network(), 0.5, 0.1, fresh=nn.Linear(6, 12)), "fresh model without a 0.weight"),
        (lambda: shrink_perturb(nn.Sequential(Own()), 0.5, 0.1), "0 .Own. has no reset_parameters"),
    ],
)
def test_bad_settings_are_refused(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change()
