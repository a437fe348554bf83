"""How far forks come from their run, on its step axis."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import LossAt, twin_divergence
from nbtoolkit.numerics.similarity import linear_cka, representation
from tests import problems


def test_on_the_axis_of_the_run() -> None:
    problem = problems.cnn()
    probe = (torch.randn(40, 1, 8, 8), torch.randint(0, 3, (40,)))
    run = nbtoolkit.watch(problem.model, problem.optimizer, loss=F.cross_entropy, probe=probe, name="cnn")
    problem.train(4)
    same = run.fork(problem.step, steps=6, every=2, name="same")
    seeded = run.fork(problem.step, steps=4, every=4, seed=3)
    moved = run.fork(problem.step, steps=2, perturb=1e-3)
    problem.train(4)
    mine = {name: param.detach().clone() for name, param in problem.model.named_parameters()}
    problem.train(3)
    run.detach()
    found = run["twin_divergence"]
    assert found["fork"].values.tolist() == ["same", "cnn fork@4 seed=3", "cnn fork@4 perturb=0.001"]
    assert found["step"].values.tolist() == [4, 5, 6, 8, 10]
    assert same.copies is not None
    assert same.copies.steps == [10]  # those that the run has passed are let go of
    common = [4, 6, 8, 10]
    nothing = {"distance": 0.0, "relative_distance": 0.0, "disagreement": 0.0, "cka": 1.0, "barrier": 0.0}
    for key, exact in nothing.items():
        assert found[key].sel(fork="same", step=common).values.tolist() == [exact] * 4, key
        assert np.isnan(found[key].sel(fork="same", step=5))
    assert found["distance"].sel(fork=seeded.name, step=[4, 8]).values[0] == 0
    assert found["distance"].sel(fork=seeded.name, step=8) > 1e-3
    assert found["cka"].sel(fork=seeded.name, step=8) < 1
    assert found["relative_distance"].sel(fork=moved.name, step=4).item() == pytest.approx(1e-3, rel=1e-6)
    assert seeded.copies is not None
    other = seeded.copies.params(8)
    apart = torch.cat([(param - other[name]).flatten() for name, param in mine.items()])
    assert found["distance"].sel(fork=seeded.name, step=8).item() == pytest.approx(apart.double().norm().item())


def test_after_the_end_and_of_a_run_without_a_probe() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        run.fork(problem.step, steps=3, perturb=0.5)
        problem.train(3)
    late = run.measure(twin_divergence)
    assert late["step"].values.tolist() == [0, 1, 2, 3]
    assert (late["distance"].values > 0).all()
    assert "needs a probe" in late["barrier"].attrs["not_measured"]
    problem.train(1)
    run.step = 4
    assert "no fork of this run has kept a copy" in run.measure(twin_divergence)["distance"].attrs["not_measured"]


def test_by_hand() -> None:
    """Two linear classifiers in one dimension, all quantities in closed form."""
    model = torch.nn.Linear(1, 2, bias=False, dtype=torch.float64)
    inputs = torch.tensor([[-1.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    mine, theirs = torch.tensor([[[3.0], [0.0]], [[0.0], [4.0]]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, -1])
    loss_at = LossAt(model, (inputs, labels), lambda outputs, targets: outputs.sum(1).square().mean())
    found = twin_divergence({"a": {"weight": theirs}, "b": None}, {"weight": mine}, loss_at)
    assert found["distance"][0] == 5.0
    assert found["relative_distance"][0] == pytest.approx(5 / 3)
    assert found["disagreement"][0] == 1.0
    assert found["cka"][0] == pytest.approx(1.0)  # both are x times a vector
    # The loss is 15/4 (3 (1 - a) + 4 a)^2: convex, so that no point lies above the chord.
    assert found["barrier"][0] == 0.0
    assert all(np.isnan(found[key][1]) for key in found)
    concave = LossAt(model, (inputs, torch.zeros(4, 2)), lambda outputs, targets: -outputs.sum(1).square().mean())
    rise = twin_divergence({"a": {"weight": theirs}}, {"weight": mine}, concave)["barrier"]
    assert rise[0] == pytest.approx(15 / 4 * 0.25)  # at the middle: a (1 - a) (4 - 3)^2


def test_classes_in_the_last_dim() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Sequential(torch.nn.Embedding(8, 8), torch.nn.Linear(8, 8)) for _ in range(2)]
    mine, theirs = (dict(model.named_parameters()) for model in layers)
    for places in (6, 8):
        x = torch.randint(0, 8, (5, places))
        y = x.clone()
        y[:, 4:] = -100
        loss_at = LossAt(layers[0], (x, y), lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten()))
        found = twin_divergence.measure({"a": theirs}, mine, loss_at)["disagreement"]
        if places == 8:
            assert "do not tell which dim holds the classes" in found.reason
        else:
            one, other = (model(x).argmax(-1)[:, :4] for model in layers)
            assert found == [float((one != other).double().mean())]
    broken = {name: torch.full_like(param, torch.nan) for name, param in mine.items()}
    loss_at = LossAt(layers[0], (x[:, :6], x[:, :6]), lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten()))
    assert np.isnan(twin_divergence.measure({"a": broken}, mine, loss_at)["disagreement"]).all()


def test_what_cannot_be_compared_has_a_reason() -> None:
    model = torch.nn.Linear(2, 1)
    params = dict(model.named_parameters())
    loss_at = LossAt(model, (torch.randn(5, 2), torch.randn(5, 1)), F.mse_loss)
    measured = twin_divergence.measure({"a": params}, params, loss_at)
    assert measured["disagreement"].reason == "targets are no class labels"
    two = torch.nn.Linear(2, 2)
    several = LossAt(two, (torch.randn(5, 2), torch.randn(5, 2)), F.mse_loss)
    own = dict(two.named_parameters())
    assert twin_divergence.measure({"a": own}, own, several)["disagreement"].reason == "targets are no class labels"
    measured = twin_divergence.measure({"a": params}, params, loss_at)
    assert "are no class labels" in measured["disagreement"].reason
    assert measured["barrier"] == [0.0]
    hidden = twin_divergence.measure({"a": params}, params, LossAt(model, lambda m: m(torch.ones(3, 2)).mean()))
    assert "hides the outputs" in hidden["disagreement"].reason
    assert "cannot be cut into examples" in hidden["cka"].reason
    alone = twin_divergence.measure({"a": None}, params, None)
    assert {value.reason for value in alone.values()} == {
        "no fork of this run has kept a copy of its parameters at this step"
    }
    with pytest.raises(ValueError, match="the run has other parameters than when the fork was made, the first is bias"):
        twin_divergence.measure({"a": {"weight": params["weight"]}}, params, None)


def test_similarity_is_of_a_thousand_examples_spread_over_the_probe() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    params = {name: param.detach() for name, param in model.named_parameters()}
    fork = {name: param + torch.randn_like(param) for name, param in params.items()}
    x, y = torch.randn(1500, 3, dtype=torch.float64), torch.randint(0, 2, (1500,))
    found = twin_divergence({"a": fork}, params, LossAt(model, (x, y), F.cross_entropy))
    taken = x[torch.linspace(0, 1499, 1000).long()]
    one, other = (representation(taken @ side["0.weight"].T + side["0.bias"]) for side in (params, fork))
    assert found["cka"][0] == pytest.approx(linear_cka(one, other), rel=1e-10)
