"""Stability lines over the steps of a recorded schedule."""

import numpy as np
import pytest
import torch

import nbtoolkit
from nbtoolkit.analysis import stability_lines
from nbtoolkit.instruments import loss, lr
from tests import problems


def test_a_schedule_moves_the_line() -> None:
    problem = problems.mlp(lr=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(problem.optimizer, 2, 0.5)
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[lr.using(every=1)]) as run:
        for _ in range(4):
            problem.step()
            schedule.step()
    lines = stability_lines(run.data)
    np.testing.assert_allclose(lines["edge"], [4, 4, 8, 8])
    np.testing.assert_allclose(lines["trace_edge"], [4, 4, 8, 8])


def test_lines_of_momentum_and_of_adam() -> None:
    problem = problems.tied()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[lr]) as run:
        problem.train(1)
    np.testing.assert_allclose(stability_lines(run.data)["edge"], [3.8 / 0.05])
    assert np.isnan(stability_lines(run.data)["trace_edge"]).all()
    problem = problems.transformer()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[lr]) as run:
        problem.train(1)
    lines = stability_lines(run.data)
    assert np.isnan(lines["edge"]).all()
    np.testing.assert_allclose(lines["preconditioned_edge"], [38 / 1e-3])


def test_without_a_learning_rate_it_says_so() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[loss]) as run:
        problem.train(1)
    with pytest.raises(KeyError, match="needs the group 'lr'; this run has: loss"):
        stability_lines(run.data)
