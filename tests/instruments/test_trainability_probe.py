"""Learning random targets from the present parameters, and from the first."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import LossAt, Unknown, trainability_probe

X, Y = torch.randn(64, 10, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 4
SHORT: dict[str, Any] = {"steps": 20, "lr": 0.01, "examples": 64}


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 4))


def parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: param.detach().clone() for name, param in model.named_parameters()}


def test_from_the_beginning_the_ratio_is_one() -> None:
    model = network()
    found = trainability_probe(
        LossAt(model, (X, Y), F.cross_entropy), parameters(model), parameters(model), {}, **SHORT
    )
    assert float(found["ratio"]) == 1
    np.testing.assert_array_equal(found["probe_loss"], found["fresh_loss"])
    assert found["probe_loss"].shape == (21,)
    assert found["probe_loss"][-1] < 0.8 * found["probe_loss"][0]
    assert float(found["probe_accuracy"]) > 0.4


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_it_is_a_training_on_random_classes(name: str, kind: type) -> None:
    model, other = network(), network(1)
    loss_at = LossAt(model, (X, Y), F.cross_entropy)
    found = trainability_probe(loss_at, parameters(model), parameters(other), {}, **SHORT, optimizer=name, seed=3)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
    targets = torch.randint(4, (64,), generator=torch.Generator().manual_seed(3))
    for one, prefix in ((model, "probe"), (other, "fresh")):
        optimizer, losses = kind(one.parameters(), lr=0.01), []
        for _ in range(20):
            optimizer.zero_grad()
            loss = F.cross_entropy(one(X[order]), targets)
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
        losses.append(F.cross_entropy(one(X[order]), targets).item())
        np.testing.assert_allclose(found[f"{prefix}_loss"], losses, rtol=1e-4)
        accuracy = float((one(X[order]).argmax(1) == targets).double().mean())
        assert float(found[f"{prefix}_accuracy"]) == pytest.approx(accuracy)
    assert float(found["ratio"]) == found["probe_loss"][-1] / found["fresh_loss"][-1]


def test_dead_units_show() -> None:
    model = network()
    first = parameters(model)
    dead = {**first, "0.bias": first["0.bias"] - 100}
    found = trainability_probe(LossAt(model, (X, Y), F.cross_entropy), dead, first, {}, **SHORT)
    assert float(found["ratio"]) > 1.3
    assert float(found["probe_accuracy"]) < float(found["fresh_accuracy"])


def test_the_model_with_its_statistics_dropout_and_random_numbers_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4))
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    loss_at = LossAt(model, (X, Y), F.cross_entropy)
    found = trainability_probe(loss_at, parameters(model), parameters(model), {}, **SHORT)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(param.grad is None for param in model.parameters())
    with torch.no_grad():  # batch statistics, no dropout
        model[3].eval()
        targets = torch.randint(4, (64,), generator=torch.Generator().manual_seed(0))
        order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
        assert found["probe_loss"][0] == pytest.approx(float(F.cross_entropy(model(X[order]), targets)), rel=1e-5)


def test_fewer_examples_than_asked_for_are_all_and_more_are_left_out() -> None:
    model = network()
    loss_at, params = LossAt(model, (X, Y), F.cross_entropy), parameters(model)
    few = trainability_probe(loss_at, params, params, {}, steps=3, examples=10)
    accuracy = float(few["probe_accuracy"]) * 10
    assert accuracy == pytest.approx(round(accuracy))
    all_of_them = trainability_probe(loss_at, params, params, {}, steps=3, examples=64)
    more = trainability_probe(loss_at, params, params, {}, steps=3, examples=1000)
    np.testing.assert_array_equal(all_of_them["probe_loss"], more["probe_loss"])


def test_other_shapes_than_at_the_beginning_and_probes_that_do_not_fit() -> None:
    model = network()
    loss_at, params = LossAt(model, (X, Y), F.cross_entropy), parameters(model)
    found = trainability_probe.measure(loss_at, params, {**params, "0.bias": torch.zeros(3)}, {}, **SHORT)
    assert isinstance(found["ratio"], Unknown)
    assert len(found["probe_loss"]) == 21
    with pytest.raises(ValueError, match="cannot be cut into examples"):
        trainability_probe(LossAt(model, lambda model: model(X).sum()), params, params, {})
    single = nn.Linear(10, 1)
    loss_at = LossAt(single, (X, torch.zeros(64, 1)), F.mse_loss)
    with pytest.raises(ValueError, match="a single output"):
        trainability_probe(loss_at, parameters(single), parameters(single), {})


def test_in_a_run_the_steps_are_labels_and_the_beginning_is_kept() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    item = trainability_probe.using(every=10, **SHORT)
    with nbtoolkit.watch(model, optimizer, instruments=[item], loss=F.cross_entropy, probe=(X, Y), budget=1e6) as run:
        for _ in range(21):
            optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
            optimizer.step()
    found = run["trainability_probe"]
    assert list(found.probe_step.values) == list(range(21))
    assert float(found.ratio[0]) == 1
    assert float(found.ratio[-1]) != 1
    np.testing.assert_array_equal(found.fresh_loss[0], found.fresh_loss[-1])
    assert found.fresh_accuracy[0] == found.fresh_accuracy[-1]
