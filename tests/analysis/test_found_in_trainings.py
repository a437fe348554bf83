"""Trainings that go wrong in a known way, and what is found in them; beside each one that does not."""

from math import inf

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.analysis import diagnose
from nbtoolkit.instruments import default, sharpness, unit_activity
from tests.analysis.healthy import until
from tests.analysis.records import said
from tests.claims.trainings import digits, full_batch, half_square, one_hot, tanh_network


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


def trained(model, steps, *, lr=0.1, spoil=lambda step, x, y: (x, y), loss=F.cross_entropy, instruments=None):
    """Batches of 64 digits by plain descent, watched."""
    x, y = digits(512, 0, standardised=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    with nbtoolkit.watch(
        model, optimizer, instruments=instruments, loss=F.cross_entropy, probe=(x, y), budget=inf
    ) as run:
        for step in range(steps):
            batch = torch.randint(0, 512, (64,))
            inputs, targets = spoil(step, x[batch], y[batch])
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()
    return run


def test_a_learning_rate_beyond_the_edge_diverges():
    x, y = digits(300, 0, standardised=True)
    found = {}
    for lr in (0.3, 2.5):
        model = tanh_network(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        with nbtoolkit.watch(model, optimizer) as run:
            full_batch(model, optimizer, half_square, x, one_hot(y), 60)
        found[lr] = diagnose(run)
    assert found[0.3] == []
    assert [one.rule for one in found[2.5]] == ["divergence", "not finite"]
    assert found[2.5][0].step < 10


def test_a_divergence_is_an_alarm_as_soon_as_it_is_looked_at():
    """And it is never taken back."""
    x, y = digits(300, 0, standardised=True)
    model = tanh_network(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.5)
    with nbtoolkit.watch(model, optimizer) as run:
        full_batch(model, optimizer, half_square, x, one_hot(y), 20)
    loss = run["loss"]["loss"].values
    assert np.isfinite(loss[:13]).all()
    told = [[one.severity for one in said(until(run.data, step), "divergence")] for step in range(9, 20)]
    assert told == [[]] * 3 + [["alarm"]] * 8  # of 13 losses, the fewest that are looked at


def test_gradients_whose_norm_overflows_are_not_called_infinite():
    layer = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-30)
    with nbtoolkit.watch(layer, optimizer) as run:
        for _ in range(5):
            optimizer.zero_grad()
            (layer(torch.ones(1, 4)).sum() * 1e25).backward()
            optimizer.step()
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()
    (found,) = said(run, "not finite")
    assert "the norm of gradients overflows in weight" in found.text
    assert "not finite" not in found.text


def test_nan_in_one_step_is_seen_in_what_is_measured_seldom_when_it_is_measured():
    def spoilt(step, x, y):
        return (x * float("nan") if step == 77 else x), y

    (found,) = said(trained(network(), 100, spoil=spoilt), "not finite")
    assert found.step == 77
    assert "updates first seen at step 80 (measured every 10)" in found.evidence


def test_a_corrupted_batch_is_a_spike_that_recovers():
    def corrupted(step, x, y):
        return (x, (y + 5) % 10) if step == 250 else (x, y)

    (found,) = diagnose(trained(network(), 400, spoil=corrupted))
    assert (found.rule, found.severity, found.step) == ("loss spike", "note", 250)
    assert diagnose(trained(network(), 400)) == []


def test_the_logarithm_of_a_negative_number_begins_in_the_loss():
    def logarithm(outputs, targets):
        return F.cross_entropy(outputs, targets) + 0.01 * torch.log(5 - outputs.max())

    found = diagnose(trained(network(), 200, loss=logarithm))
    assert [one.rule for one in found] == ["not finite"]
    assert found[0].group == "loss"
    assert "the loss is not finite" in found[0].text
    assert "gradients" not in found[0].evidence  # 1/x, the slope of log x, is finite


class Rooted(nn.Module):
    """The root of a hidden unit that is 0: finite itself, with an infinite slope, times 0."""

    def forward(self, hidden):
        return hidden + 0 * (hidden - hidden).sqrt()


def test_nan_that_arises_on_the_way_back_names_its_place():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), Rooted(), nn.Linear(32, 10))
    run = trained(model, 3)
    (found,) = said(run, "not finite")
    assert (found.step, found.group) == (0, "grad_norm")
    assert "in 0.weight, 0.bias, but finite in 3.weight" in found.text


def test_a_bias_shifted_far_down_kills_a_layer():
    model = network()
    healthy = trained(model, 60, instruments=[*default(), unit_activity.using(every=10)])
    assert diagnose(healthy) == []
    with torch.no_grad():
        model.get_parameter("2.bias").sub_(50)
    run = trained(model, 60, instruments=[*default(), unit_activity.using(every=10)])
    dead = said(run, "dead or dormant units")[0]
    assert (dead.severity, dead.step) == ("alarm", 0)
    assert "all units that enter layer 4" in dead.text
    (vanished,) = said(run, "vanishing gradient")
    assert "of layer 0, layer 2 is tiny" in vanished.text


def test_deep_sigmoids_vanish():
    def deep(activation):
        torch.manual_seed(0)
        hidden = [layer for _ in range(8) for layer in (nn.Linear(32, 32), activation())]
        return nn.Sequential(nn.Linear(64, 32), activation(), *hidden, nn.Linear(32, 10))

    (found,) = said(trained(deep(nn.Sigmoid), 60), "vanishing gradient")
    assert found.text.startswith("the gradient of layer 0")
    assert not said(trained(deep(nn.ReLU), 60), "vanishing gradient")


def test_full_batch_descent_comes_to_the_edge():
    x, y = digits(300, 0, standardised=True)
    model = tanh_network(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    watched = [*default(), sharpness.using(every=20, smallest=False, tolerance=1e-2)]
    with nbtoolkit.watch(model, optimizer, instruments=watched, budget=inf) as run:
        full_batch(model, optimizer, half_square, x, one_hot(y), 160)
    assert [(one.rule, one.severity) for one in diagnose(run)] == [("edge of stability", "note")]


def test_labels_that_do_not_belong_to_the_inputs_make_a_plateau():
    def shuffled(step, x, y):
        return x, y[torch.randperm(len(y))]

    (found,) = said(trained(network(), 400, lr=0.01, spoil=shuffled), "plateau")
    assert found.severity == "note"
    assert not said(trained(network(), 400, lr=0.05), "plateau")
