"""Settings of the instruments of plasticity that cannot be: one line, and training goes on."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import (
    Instrument,
    averaged_weights_gap,
    effective_rank,
    layer_spectrum,
    logit_stats,
    trainability_probe,
    unit_activity,
    weight_stats,
)
from tests import problems
from tests.instruments.settings import run_with

BAD = [
    (unit_activity, {"threshold": -0.1}, "threshold=-0.1: expected a number from 0 to 1"),
    (unit_activity, {"duplicate": "much"}, "duplicate='much': expected a number from 0 to 1"),
    (effective_rank, {"delta": 1.0}, "delta=1.0: expected a number from 0 to below 1"),
    (layer_spectrum, {"most": 0}, "most=0: expected a whole number of 1 or more"),
    (weight_stats, {"small": float("nan")}, "small=nan: expected a number of 0 or more"),
    *(
        (logit_stats, {"quantiles": given}, "expected different numbers from 0 to 1")
        for given in (0.5, (), (0.5, 2), (0.5, 0.5), "half")
    ),
    *((averaged_weights_gap, {"decay": given}, f"decay={given!r}: expected") for given in (1, -1, "a", True)),
    (averaged_weights_gap, {"averaged": 3}, "3"),
    *((trainability_probe, {"steps": given}, f"steps={given!r}: expected a whole") for given in (0, 2.5, "a", True)),
    (trainability_probe, {"examples": 0}, "examples=0: expected a whole"),
    (trainability_probe, {"lr": -1}, "lr=-1: expected a number above 0"),
    (trainability_probe, {"optimizer": "lion"}, "optimizer='lion': expected one of 'adam', 'sgd'"),
    (trainability_probe, {"seed": -1}, "seed=-1: expected a whole number"),
]


@pytest.mark.parametrize(("item", "settings", "said"), BAD, ids=lambda value: getattr(value, "name", None))
def test_a_bad_setting_is_told_in_one_line_and_training_goes_on(
    item: Instrument, settings: dict[str, Any], said: str
) -> None:
    run = run_with(item, settings)
    assert run.state == "finished"
    assert all(np.isnan(values).all() for values in run[item.name].data_vars.values())
    told = next(iter(run[item.name].data_vars.values())).attrs["not_measured"]
    assert said in told
    assert "\n" not in told


def of_numpy(value: Any) -> Any:
    return np.array(value) if isinstance(value, tuple) else np.int64(value)


@pytest.mark.parametrize(
    ("item", "settings"),
    [
        (layer_spectrum, {"most": 3}),
        (logit_stats, {"quantiles": (0.25, 0.5)}),
        (trainability_probe, {"steps": 3, "examples": 9, "seed": 2}),
    ],
)
def test_numbers_of_numpy_are_numbers(item: Instrument, settings: dict[str, Any]) -> None:
    found = []
    for as_given in (lambda value: value, of_numpy):
        given: dict[str, Any] = {name: as_given(value) for name, value in settings.items()}
        problem = problems.mlp()
        probe = (torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3)
        with nbtoolkit.watch(
            problem.model, problem.optimizer, loss=F.cross_entropy, probe=probe, instruments=[item.using(**given)]
        ) as run:
            problem.train(2)
        assert not run.notes
        found.append(run[item.name])
    assert found[0].equals(found[1])
    assert any(np.isfinite(values).any() for values in found[0].data_vars.values())
