"""Largest weights, signs that changed, weights near zero."""

import numpy as np
import pytest
import torch

import nbtoolkit
from nbtoolkit.instruments import weight_stats
from tests import problems


def test_planted_entries_are_counted() -> None:
    initial = {"a": torch.tensor([1.0, -1.0, 2.0, -2.0]), "b": torch.tensor([0.0, 1e-30])}
    now = {"a": torch.tensor([1.0, 1.0, -3.0, -2.0]), "b": torch.tensor([5.0, -1e-30])}
    found = weight_stats(now, initial)
    np.testing.assert_array_equal(found["largest"], [3, 5])
    np.testing.assert_array_equal(found["flipped"], [0.5, 0.5])  # one that was 0 has not flipped
    np.testing.assert_array_equal(found["near_zero"], [0, 0.5])
    assert found["total_largest"] == 5
    assert found["total_flipped"] == pytest.approx(3 / 6)
    assert found["total_near_zero"] == pytest.approx(1 / 6)


def test_near_zero_is_relative_to_the_root_mean_square() -> None:
    weights = torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    rms = (21 / 4) ** 0.5
    for scale in (1e-8, 1.0, 1e8):
        for small, share in ((0.0, 0.25), (0.99 / rms, 0.25), (1.01 / rms, 0.5), (2.01 / rms, 0.75), (9.0, 1.0)):
            assert weight_stats({"a": scale * weights}, {}, small=small)["near_zero"][0] == share
    assert weight_stats({"a": torch.zeros(3)}, {})["near_zero"][0] == 1.0
    with pytest.raises(ValueError, match="small=-1: expected a number of 0 or more"):
        weight_stats({"a": weights}, {}, small=-1)


def test_what_is_new_has_no_sign_to_change_and_what_is_not_finite_no_shares() -> None:
    initial = {"a": torch.ones(2), "b": torch.ones(3)}
    now = {"a": -torch.ones(2), "b": torch.ones(2), "c": torch.ones(4), "d": torch.zeros(0)}
    found = weight_stats(now, initial)
    np.testing.assert_array_equal(found["flipped"], [1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found["largest"], [1, 1, 1, np.nan])
    assert found["total_flipped"] == pytest.approx(2 / 8)
    broken = weight_stats({"a": torch.tensor([1.0, torch.nan])}, initial)
    assert all(np.isnan(value).all() for value in broken.values())


def test_half_precision_is_counted_in_full() -> None:
    weights = torch.full((70_000,), 500.0, dtype=torch.float16)  # whose norm float16 cannot hold
    weights[:7] = 0
    found = weight_stats({"a": weights}, {"a": -weights})
    assert found["near_zero"][0] == pytest.approx(1e-4)
    assert found["flipped"][0] == pytest.approx(1 - 1e-4)


def test_in_a_run_signs_flip_from_where_watching_began() -> None:
    problem = problems.mlp(lr=1.0)
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[weight_stats.using(every=5)]) as run:
        start = {name: param.detach().clone() for name, param in problem.model.named_parameters()}
        problem.train(11)
    found = run["weight_stats"]
    assert list(found.step.values) == [0, 5, 10]
    np.testing.assert_array_equal(found.flipped[0], 0)
    assert float(found.total_flipped[-1]) > 0
    assert list(found.param.values) == list(start)
