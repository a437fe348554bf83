"""What users get wrong, and what they are told: one line that says what to do."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nbtoolkit
from nbtoolkit.errors import WatchError
from tests import problems
from tests.capture.test_cases import assert_nothing_is_left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda m, o: (o, m), "it needs a torch.nn.Module"),
        (lambda m, o: (m, m), "it needs a torch.optim.Optimizer"),
        (lambda m, o: (nn.Linear(2, 2), o), "holds no parameter of this Linear; pass the model"),
    ],
)
def test_what_cannot_be_watched_is_refused(arguments: Any, message: str) -> None:
    problem = problems.mlp()
    with pytest.raises(WatchError, match=message):
        nbtoolkit.watch(*arguments(problem.model, problem.optimizer))
    assert_nothing_is_left(problem.optimizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "budget=0"),
        ({"budget": -1.5}, "budget=-1.5"),
        ({"instruments": ["loss"]}, "instruments got 'loss', a str"),
        ({"instruments": [nbtoolkit.instruments.loss] * 2}, "loss more than once"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    problem = problems.mlp()
    with pytest.raises(WatchError, match=message):
        nbtoolkit.watch(problem.model, problem.optimizer, **options)
    assert_nothing_is_left(problem.optimizer)


def test_a_backward_on_no_scalar_is_said_in_one_line() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.model(torch.randn(4, 8)).backward(torch.ones(4, 3))
        problem.optimizer.step()
    note = run.status().notes[0]
    assert "shape (4, 3), not on a scalar" in note
    assert "run.log(" in note
    assert "\n" not in note
    assert np.isnan(run["loss"]["loss"].values).all()
    assert "not on a scalar" in run["loss"]["loss"].attrs["not_measured"]


def test_a_step_without_a_backward_is_nan_with_its_reason() -> None:
    problem = problems.mlp()
    problem.train(1)
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.optimizer.step()
    assert np.isnan(run["loss"]["loss"].values).all()
    assert "no backward() on a loss" in run["loss"]["loss"].attrs["not_measured"]


def test_a_loss_changed_in_place_before_the_step_is_not_recorded() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        loss = problem.model(torch.randn(4, 8)).sum()
        loss.backward()
        with torch.no_grad():
            loss.mul_(100)
        problem.optimizer.step()
    assert "changed in place" in run["loss"]["loss"].attrs["not_measured"]


def test_a_loss_changed_in_place_after_the_step_is_recorded_as_it_was() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        loss = problem.model(torch.randn(4, 8)).sum()
        loss.backward()
        value = loss.item()
        problem.optimizer.step()
        with torch.no_grad():
            loss.mul_(100)
    assert run["loss"]["loss"].values.tolist() == [value]


def test_an_unknown_group_names_what_there_is() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run, pytest.raises(KeyError, match="it has: loss, lr"):
        run["grad_nrom"]
