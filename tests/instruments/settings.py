"""A training watched by an instrument with settings that it may not take."""

from typing import Any

import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import Instrument
from tests import problems


def run_with(item: Instrument, settings: dict[str, Any]) -> nbtoolkit.Run:
    """Two steps, measured at each."""
    problem = problems.mlp()
    probe = (torch.randn(20, 8), torch.arange(20) % 3)
    given = item.using(every=1, **settings)
    with nbtoolkit.watch(
        problem.model, problem.optimizer, loss=F.cross_entropy, probe=probe, instruments=[given], budget=1e9
    ) as run:
        problem.train(2)
    return run
