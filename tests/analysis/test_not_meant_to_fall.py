"""Trainings whose loss is not meant to fall: notes at most, and what is sick in them is still found."""

import pytest
import torch
from torch import nn

import nbtoolkit
from nbtoolkit.analysis import diagnose
from tests.analysis.healthy import seen
from tests.analysis.not_meant_to_fall import TRAININGS, annealed, gan
from tests.analysis.records import said


@pytest.mark.parametrize("train", TRAININGS, ids=lambda one: one.__name__)
def test_notes_at_most(train):
    found = [finding for run in train(0) for _, finding in seen(run)]
    assert [one for one in found if one.severity != "note"] == []


def test_a_rise_that_is_slow_says_on_what_it_depends():
    (found,) = said(annealed(0)[0], "divergence")
    assert found.text.endswith("look at it if this loss is meant to fall")
    assert found.advice.startswith("Nothing need be done where it is not meant to fall")


def test_an_equilibrium_is_level_if_it_is_meant_to_fall():
    for run in gan(0):
        (found,) = said(run, "plateau")
        assert found.text.endswith("look at it if this loss is meant to fall")


def ascent(lr, steps, signs=(1,)):
    """Minus a square, which is maximised; where there are more signs, each for a parameter of its own."""
    torch.manual_seed(0)
    models = nn.ModuleList(nn.Linear(4, 1) for _ in signs)
    groups = [
        {"params": list(model.parameters()), "maximize": sign > 0} for model, sign in zip(models, signs, strict=True)
    ]
    optimizer = torch.optim.SGD(groups, lr=lr)
    x = torch.randn(32, 4)
    with nbtoolkit.watch(models, optimizer) as run:
        for _ in range(steps):
            optimizer.zero_grad()
            losses = [-sign * model(x).square().mean() for model, sign in zip(models, signs, strict=True)]
            torch.stack(losses).sum().backward()
            optimizer.step()
    return run


def test_an_objective_that_falls_without_bound_diverges():
    healthy, sick = ascent(0.05, 60), ascent(1.5, 25)
    assert healthy.record.attrs["maximize"] == "True"
    assert diagnose(healthy) == []
    (found,) = said(sick, "divergence")
    assert (found.severity, found.group) == ("alarm", "loss")
    assert found.text == "the objective is far below where it began, and stays there"
    objective = sick["loss"]["loss"].values
    assert f"objective {objective[-1]:.3g} at step 24" in found.evidence


def test_a_descent_says_that_it_is_one():
    assert ascent(0.05, 1, signs=(-1,)).record.attrs["maximize"] == "False"


def test_at_a_saddle_no_direction_is_wrong():
    run = ascent(1.5, 25, signs=(-2, 1))
    assert run.record.attrs["maximize"] == "False and True"
    assert [one.severity for one in said(run, "divergence")] == ["note"]
    assert [one.severity for one in said(ascent(1.5, 25, signs=(-2, -1)), "divergence")] == ["alarm"]
