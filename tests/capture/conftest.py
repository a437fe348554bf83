"""A run in the middle of its training, to be forked."""

from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from tests import problems


@pytest.fixture
def problem() -> problems.Problem:
    return problems.cnn()


@pytest.fixture
def run(problem: problems.Problem) -> Iterator[nbtoolkit.Run]:
    probe = (torch.randn(40, 1, 8, 8), torch.randint(0, 3, (40,)))
    with nbtoolkit.watch(problem.model, problem.optimizer, loss=F.cross_entropy, probe=probe, name="cnn") as run:
        problem.train(4)
        yield run
