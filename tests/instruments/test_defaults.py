"""The default instruments on inputs worked out by hand."""

import numpy as np
import torch

from nbtoolkit.instruments import grad_norm, loss, lr, step_time, update_ratio, weight_norm

TREE = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([[12.0]])}


def test_grad_norm() -> None:
    values = grad_norm({**TREE, "c": None})
    np.testing.assert_array_equal(values["grad_norm"], [5.0, 12.0, np.nan])
    assert values["total"] == 13.0


def test_update_ratio_of_zero_weights_is_nan() -> None:
    weights = {"a": torch.tensor([6.0, 8.0]), "b": torch.zeros(1, 1)}
    values = update_ratio(weights, TREE)
    np.testing.assert_array_equal(values["update_norm"], [5.0, 12.0])
    np.testing.assert_array_equal(values["ratio"], [0.5, np.nan])
    assert values["total"] == 13.0


def test_weight_norm_and_distance() -> None:
    initial = {"a": torch.zeros(2), "b": torch.tensor([[24.0]])}
    values = weight_norm(TREE, initial)
    assert (values["total"], values["total_distance"]) == (13.0, 13.0)
    np.testing.assert_array_equal(values["distance"], [5.0, 12.0])


def test_loss_and_terms() -> None:
    values = loss(torch.tensor(1.5), {"ce": torch.tensor(1.0), "decay": torch.tensor(0.5)})
    assert values["loss"] == 1.5
    assert values["terms"].tolist() == [1.0, 0.5]
    assert np.isnan(loss(None, {})["loss"])


def test_lr_of_groups_without_momentum_is_nan() -> None:
    values = lr([0.1, torch.tensor(0.5)], [None, 0.9])
    assert values["lr"].tolist() == [0.1, 0.5]
    np.testing.assert_array_equal(values["momentum"], [np.nan, 0.9])


def test_step_time_is_the_mean_since_the_last_reading() -> None:
    values = step_time({"steps": 4, "seconds": 2.0, "measuring": 0.5})
    assert (values["seconds"], values["share"]) == (0.5, 0.25)
    assert np.isnan(step_time({"steps": 0, "seconds": 0.0, "measuring": 0.0})["seconds"])
