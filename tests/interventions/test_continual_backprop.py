"""Which units are reset, what a reset leaves, and that nothing else moves."""

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nbtoolkit.interventions import ContinualBackprop
from tests.interventions.chains import batch, cnn, mlp, train, weighted

# -- utility -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [mlp, cnn])
def test_utility_is_the_running_mean_of_the_contribution(make: Any) -> None:
    model, decay = make(), 0.9
    renew = ContinualBackprop(model, torch.optim.SGD(model.parameters(), lr=0.1), decay=decay, maturity=100)
    layers = weighted(model)
    expected = [torch.zeros(len(layer.weight)) for layer in layers[:-1]]
    for age in range(1, 4):
        x, _ = batch(model)
        model(x)
        renew.step()
        hidden, h = [], x
        for layer in model:
            if layer in layers[1:]:
                hidden.append(h)
            h = layer(h)
        for place, (units, after) in enumerate(zip(hidden, layers[1:], strict=True)):
            count = len(expected[place])
            out = after.weight.detach()
            if out.ndim == 4:  # one channel is read at many places
                contribution = units.abs().mean((0, 2, 3)) * out.abs().sum((0, 2, 3))
            else:  # behind a flattened image a unit is a block of columns
                contribution = (units.abs().mean(0) * out.abs().sum(0)).view(count, -1).sum(1)
            expected[place] = decay * expected[place] + (1 - decay) * contribution.detach()
        for one, other in zip(renew.utilities(), expected, strict=True):
            torch.testing.assert_close(one, other / (1 - decay**age))
    renew.close()


def test_the_least_useful_mature_unit_is_the_one_that_is_reset() -> None:
    model: Any = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    renew = ContinualBackprop(model, optimizer, rate=0.1, maturity=3, decay=0.5)
    with torch.no_grad():
        model[0].weight[7] *= 1e-3
        model[0].bias[7] = -1.0  # a dead unit
        model[2].bias += 2.0  # the others are alive
        model[4].weight[:, 2] = 0.0  # one that nobody reads
    assert train(model, optimizer, renew, 3) == [0, 0, 0]
    before = copy.deepcopy(model.state_dict())
    assert train(model, optimizer, renew, 1) == [1]  # ten mature units owe one, eight owe 0.8
    changed = (model[0].weight != before["0.weight"]).any(1).nonzero()[:, 0]
    assert changed.tolist() == [7]
    assert torch.equal(model[2].weight[:, 7], torch.zeros(8))
    assert train(model, optimizer, renew, 1) == [1]  # the ninth is too young; 0.9 and 1.6 are owed
    assert (model[2].weight != before["2.weight"]).any(1).nonzero()[:, 0].tolist() == [*range(8)]  # column 7
    kept = [unit for unit in range(8) if torch.equal(model[2].bias[unit], before["2.bias"][unit])]
    assert kept == [0, 1, 3, 4, 5, 6, 7]
    assert torch.equal(model[4].weight[:, 2], torch.zeros(3))


def test_fractions_add_up_to_the_rate() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    renew = ContinualBackprop(model, optimizer, rate=0.125, maturity=0)
    assert train(model, optimizer, renew, 8) == [2, 2, 2, 3, 2, 2, 2, 3]  # of 8 units one, of 10 one and a quarter
    slow = ContinualBackprop(model, optimizer, rate=2**-6, maturity=0)
    assert sum(train(model, optimizer, slow, 64)) == 8 + 10


def test_nothing_is_reset_at_rate_zero_and_training_goes_as_without() -> None:
    states = []
    for attached in (True, False):
        model: Any = mlp()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        torch.manual_seed(5)
        if attached:
            renew = ContinualBackprop(model, optimizer, rate=0.0, maturity=0)
            assert sum(train(model, optimizer, renew, 5)) == 0
        else:
            for _ in range(5):
                x, y = batch(model)
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        states.append({**model.state_dict(), "random": torch.get_rng_state()})
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


# -- a reset -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [mlp, cnn])
def test_a_reset_of_units_that_nobody_reads_leaves_the_function(make: Any) -> None:
    model = make()
    layers = weighted(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with torch.no_grad():
        for layer, after in pairwise(layers):
            block = after.weight.shape[1] // len(layer.weight)
            after.weight[:, : 2 * block] = 0.0  # of the units 0 and 1
    renew = ContinualBackprop(model, optimizer, rate=0.25, maturity=0)
    x, _ = batch(model)
    before, weight = model(x).detach(), layers[0].weight.detach().clone()
    assert renew.step() > 0
    assert not torch.equal(layers[0].weight, weight)
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("make", [mlp, cnn])
def test_a_reset_unit_has_new_weights_no_readers_and_no_memory(make: Any) -> None:
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, amsgrad=True)
    renew = ContinualBackprop(model, optimizer, rate=1.0, maturity=4)
    train(model, optimizer, renew, 4)
    before = copy.deepcopy(model.state_dict())
    layers = weighted(model)
    torch.manual_seed(9)
    assert train(model, optimizer, renew, 1) == [sum(len(layer.weight) for layer in layers[:-1])]
    for layer in layers[:-1]:
        assert not torch.equal(layer.bias, before["0.bias"][: len(layer.bias)])
        state = optimizer.state[layer.weight]
        for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
            assert not state[key].any()
            assert not optimizer.state[layer.bias][key].any()
        assert state["step"] == 5
        bound = layer.weight[0].numel() ** -0.5  # torch draws uniformly within it
        if layer is layers[0]:
            assert 0.8 * bound < layer.weight.abs().max() <= bound
    for after in layers[1:]:
        assert not optimizer.state[after.weight]["exp_avg"].any()
    assert not any(after.weight.any() for after in layers[1:])
    assert optimizer.state[layers[-1].bias]["exp_avg"].any()  # of the readers only the weights
    assert torch.isfinite(model(batch(model)[0])).all()


def test_new_weights_are_drawn_as_the_user_says_and_not_from_the_global_state() -> None:
    def draw(layer: Any) -> None:
        nn.init.constant_(layer.weight, 0.25)
        nn.init.zeros_(layer.bias)

    model: Any = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    renew = ContinualBackprop(model, optimizer, rate=1.0, maturity=0, draw=draw)
    model(batch(model)[0])
    random = torch.get_rng_state()
    renew.step()
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(model[0].weight, torch.full((10, 6), 0.25))
    assert not model[2].bias.any()


def test_a_seed_gives_the_same_units_again_and_another_one_others() -> None:
    found = []
    for seed in (0, 0, 1):
        model: Any = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        renew = ContinualBackprop(model, optimizer, rate=0.1, maturity=0, seed=seed)
        torch.manual_seed(3)
        train(model, optimizer, renew, 5)
        found.append(model[0].weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
