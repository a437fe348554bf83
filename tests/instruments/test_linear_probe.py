"""A linear classifier on the hidden units, task by task."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.instruments import Tasks, TasksAt, linear_probe
from nbtoolkit.numerics.linear_probe import ridge_probe
from tests.instruments.models import digits, parameters

ALL = 1797


@cache
def trained() -> nn.Sequential:
    """Three layers on two thirds of the digits; not to be changed."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    x, y = digits(1200)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def stream(model: nn.Module, **tasks: tuple[Tensor, Tensor]) -> TasksAt:
    return TasksAt(model, Tasks(tasks), F.cross_entropy)


def split(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[: count // 2], order[count // 2 :]


def test_it_is_the_probe_on_what_enters_each_layer() -> None:
    model, (x, y) = trained(), digits(400)
    tasks = stream(model, digits=(x, y))
    found = linear_probe(tasks, parameters(model))
    batch = tasks.tasks.subset("digits", 1000)[0]
    fit, test = split(400)
    with torch.no_grad():
        for row, module in ((1, model[:2]), (2, model[:4])):
            units = module(batch[0])
            right = ridge_probe(units[fit], batch[1][fit], 1e-3).right(units[test], batch[1][test])
            assert found["probe_accuracy"][row, 0] == right / 200
            error = (right / 200 * (1 - right / 200) / 200) ** 0.5
            assert found["probe_accuracy_error"][row, 0] == pytest.approx(error, rel=1e-12)
    assert np.isnan(found["probe_accuracy"][0, 0])  # the input itself


def test_it_reads_the_last_features_as_well_as_the_model() -> None:
    model, (x, y) = trained(), digits(ALL)
    units, own = model[:4](x[:1200]), float((model(x[:1200]).argmax(1) == y[:1200]).double().mean())
    assert ridge_probe(units, y[:1200], 1e-3).right(units, y[:1200]) / 1200 >= own - 0.02  # of squares, not of errors
    unseen = x[1200:], y[1200:]
    accuracy = float((model(unseen[0]).argmax(1) == unseen[1]).double().mean())
    found = linear_probe(stream(model, digits=unseen), parameters(model))
    assert found["probe_accuracy"][-1, 0] >= accuracy - 0.01


def test_shuffled_labels_are_a_matter_of_chance() -> None:
    model, (x, _) = trained(), digits(ALL)
    labels = torch.randint(0, 10, (ALL,), generator=torch.Generator().manual_seed(7))
    found = linear_probe(stream(model, shuffled=(x, labels)), parameters(model), examples=ALL)
    bound = 4 * (0.1 * 0.9 / (ALL / 2)) ** 0.5
    assert (np.abs(found["probe_accuracy"][1:, 0] - 0.1) < bound).all()


def test_features_outlive_what_the_head_has_forgotten() -> None:
    forgotten = nn.Linear(64, 10)
    nn.init.zeros_(forgotten.weight)
    model = nn.Sequential(*list(trained())[:4], forgotten)
    x, y = digits(600)
    tasks = stream(model, digits=(x, y), upside_down=(x.flip(1), y))
    found = linear_probe(tasks, parameters(model))["probe_accuracy"]
    right, count = tasks.accuracy(parameters(model))
    assert (right / count < 0.2).all()
    assert (found[2] > 0.8).all()


def test_labels_below_zero_do_not_count() -> None:
    model, (x, y) = trained(), digits(300)
    some = y.clone()
    some[::3] = -100
    found = linear_probe(stream(model, all=(x, y), some=(x, some)), parameters(model))
    accuracy, error = found["probe_accuracy"][2, 1], found["probe_accuracy_error"][2, 1]
    assert accuracy * 100 == pytest.approx(round(accuracy * 100), abs=1e-9)
    assert error == pytest.approx((accuracy * (1 - accuracy) / 100) ** 0.5, rel=1e-12)


def test_only_layers_that_are_named() -> None:
    model, data = trained(), digits(200)
    found = linear_probe(stream(model, digits=data), parameters(model), layers="2")["probe_accuracy"]
    assert np.isfinite(found[:, 0]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ridge": 0}, "ridge=0: expected a number above 0"),
        ({"ridge": float("inf")}, "ridge=inf: expected a number above 0"),
        ({"share": 1.0}, "share=1.0: expected a number between 0 and 1"),
        ({"share": "half"}, "share='half': expected a number between 0 and 1"),
        ({"share": 0.001}, "task 'digits' has 20 examples with a label, too few for share=0.001"),
        ({"examples": 1}, "examples=1: expected a whole number of 2 or more"),
        ({"seed": -1}, "seed=-1: expected a whole number, 0 or more"),
        ({"layers": ["head"]}, "no layer 'head' is trained here; there are: 0, 2, 4"),
        ({"layers": 3}, "layers=3: expected names of layers"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    model, data = trained(), digits(20)
    with pytest.raises(ValueError, match=message):
        linear_probe(stream(model, digits=data), parameters(model), **settings)


def test_a_label_for_every_pixel_is_refused() -> None:
    model = nn.Conv2d(1, 3, 1)
    data = torch.zeros(4, 1, 2, 2), torch.zeros(4, 2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"task 'pixels' has targets of shape \(4, 2, 2\); a probe needs one label"):
        linear_probe(stream(model, pixels=data), parameters(model))
