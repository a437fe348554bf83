"""What a slice refuses, in a line and without stopping the training."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import LossAt, landscape_slice
from tests import problems
from tests.instruments.test_landscape_slice import NONE, classifier, params


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points": 10}, "points=10: expected an odd number"),
        ({"extent": -1}, "extent=-1: expected a positive number"),
        ({"directions": "hessian"}, "directions='hessian': expected one of filter, layer, gaussian, eigenvectors"),
        ({"directions": 3}, "directions=a int"),
        ({"directions": ({}, 3)}, "a pair of dict and int"),
        ({"directions": (nn.Linear(2, 2), nn.Linear(2, 2))}, "other model does not have '0.weight'"),
        ({"statistics": "live"}, "statistics='live': expected one of"),
        ({"share": 2}, "share=2"),
        ({"seed": 1.5}, "seed=1.5: expected a whole number"),
        ({"seed": 2**70}, "seed=1180591620717411303424: expected a whole number"),
        ({"biases": 3}, "biases=3: expected True or False"),
    ],
)
def test_bad_settings_are_told_in_a_line(settings: dict[str, Any], message: str) -> None:
    model, loss_at = classifier()
    with pytest.raises(ValueError, match=message) as caught:
        landscape_slice(loss_at, params(model), NONE, **{"points": 3, **settings})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"points": 4}, {"points": "many"}, {"share": "half"}, {"extent": None}])
def test_bad_settings_do_not_stop_training(settings: dict[str, Any]) -> None:
    problem = problems.mlp()
    probe = (torch.randn(20, 8), torch.arange(20) % 3)
    with nbtoolkit.watch(
        problem.model, problem.optimizer, loss=F.cross_entropy, probe=probe,
        instruments=[landscape_slice.using(**settings)],
    ) as run:  # fmt: skip
        problem.train(2)
    assert np.isnan(run["landscape_slice"]["alpha_length"]).all()
    assert any(str(next(iter(settings.values()))) in note for note in run.notes)


def test_a_plane_needs_two_parameters() -> None:
    one = nn.Linear(1, 1, bias=False)
    with pytest.raises(ValueError, match="the model has one parameter; a plane needs two"):
        landscape_slice(LossAt(one, (torch.ones(2, 1), torch.ones(2, 1)), F.mse_loss), params(one), NONE)
