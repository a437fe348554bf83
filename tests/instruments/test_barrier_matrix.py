"""Barriers between kept copies against those of single pairs."""

from itertools import pairwise

import numpy as np
import pytest

from nbtoolkit.instruments import Unknown, barrier_matrix, linear_barrier
from tests.instruments.models import network, parameters, passed, probe_of, trained


def test_it_is_the_barrier_of_every_pair() -> None:
    copies = [parameters(model) for model in (trained(1), network(3), trained(2), trained(0))]
    loss_at = probe_of(trained(0))
    found = barrier_matrix(loss_at, copies[-1], passed(*copies), copies=4, points=7)
    assert list(found["snapshot_step"]) == [0, 10, 20, 30]
    np.testing.assert_array_equal(found["barriers"], found["barriers"].T)
    np.testing.assert_array_equal(np.diag(found["barriers"]), np.zeros(4))
    for place, copy in enumerate(copies[:3]):
        pair = linear_barrier(loss_at, copies[-1], passed(), other=copy, points=7)["barrier"]
        assert found["barriers"][place, 3] == pytest.approx(float(pair), rel=1e-4, abs=1e-6)
    assert found["barriers"][0, 2] > 0.1


def test_of_many_copies_some_are_chosen_and_of_few_the_rest_is_blank() -> None:
    copies = [parameters(network(seed)) for seed in range(7)]
    loss_at = probe_of(trained(0))
    found = barrier_matrix(loss_at, copies[-1], passed(*copies), copies=3, points=3)
    assert list(found["snapshot_step"]) == [0, 30, 60]
    few = barrier_matrix(loss_at, copies[1], passed(*copies[:2]), copies=4, points=3)
    assert list(few["snapshot_step"][:2]) == [0, 10]
    assert np.isfinite(few["barriers"][:2, :2]).all()
    assert np.isnan(few["barriers"][2:]).all()
    alone = barrier_matrix.measure(loss_at, copies[0], passed(copies[0]))
    with pytest.raises(ValueError, match="copies=1: a barrier is between two"):
        barrier_matrix(loss_at, copies[0], passed(*copies), copies=1)
    assert all(isinstance(value, Unknown) and "only one copy" in value.reason for value in alone.values())


def test_every_stage_has_one_more_copy() -> None:
    copies = [parameters(network(seed)) for seed in range(4)]
    stages = [
        stage["barriers"].clone()
        for stage in barrier_matrix.stages(probe_of(trained(0)), copies[-1], passed(*copies), copies=4, points=3)
    ]
    assert [int(stage.isfinite().sum()) for stage in stages] == [4, 9, 16]
    for early, late in pairwise(stages):
        known = early.isfinite()
        assert bool((early[known] == late[known]).all())
