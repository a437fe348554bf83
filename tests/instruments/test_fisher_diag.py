"""Fisher information by layer: sums of the diagonal, and errors that tell the spread of other examples."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nbtoolkit.instruments import LossAt, fisher_diag
from nbtoolkit.interventions import EWC
from nbtoolkit.numerics.fisher import fisher_diagonal


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()


def data(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator).double(), torch.randint(0, 4, (count,), generator=generator)


@pytest.mark.parametrize("labels", ["true", "sampled", "empirical"])
def test_layers_are_sums_of_the_diagonal(labels: str) -> None:
    model = network()
    loss_at, params = LossAt(model, data(20), F.cross_entropy), dict(model.named_parameters())
    found = fisher_diag(loss_at, params, labels=labels)
    exact = fisher_diagonal(loss_at, params, labels=labels).diagonal
    expected = [float(exact[f"{layer}.weight"].sum() + exact[f"{layer}.bias"].sum()) for layer in (0, 2)]
    np.testing.assert_allclose(found["trace"], expected, rtol=1e-12)
    np.testing.assert_allclose(found["total"], sum(expected), rtol=1e-12)


def test_it_is_what_ewc_holds_by() -> None:
    model, batch = network(), data(20)
    held = EWC(model, 1.0).consolidate(batch)
    found = fisher_diag(LossAt(model, batch, F.cross_entropy), dict(model.named_parameters()))
    np.testing.assert_allclose(found["total"], float(sum(part.sum() for part in held.values())), rtol=1e-12)


def test_errors_are_the_spread_over_draws_of_the_examples() -> None:
    model = network()
    params = dict(model.named_parameters())
    rows = [fisher_diag(LossAt(model, data(25, seed), F.cross_entropy), params) for seed in range(40)]
    for value, error in (("trace", "trace_error"), ("total", "total_error")):
        spread = np.std([row[value] for row in rows], axis=0, ddof=1)
        told = np.mean([row[error] for row in rows], axis=0)
        assert np.all(np.abs(told / spread - 1) < 0.35)  # of 40 draws a spread is known to 11 %


def test_one_example_has_no_error() -> None:
    model = network()
    found = fisher_diag(LossAt(model, data(1), F.cross_entropy), dict(model.named_parameters()))
    assert found["total"] > 0
    assert np.isnan(found["total_error"])
    assert np.isnan(found["trace_error"]).all()


def test_frozen_layers_are_left_out() -> None:
    model = network()
    model[0].requires_grad_(False)
    found = fisher_diag(LossAt(model, data(9), F.cross_entropy), dict(model.named_parameters()))
    assert found["trace"].shape == (1,)
    np.testing.assert_allclose(found["trace"][0], found["total"])


@pytest.mark.parametrize("labels", ["sampled", "empirical"])
def test_the_declared_cost_is_that_of_one_label(labels: str) -> None:
    model: Any = nn.Sequential(nn.Linear(5, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4)).double()
    item = fisher_diag.using(labels=labels)
    with FlopCounterMode(display=False) as forward:
        model(data(32)[0])
    with FlopCounterMode(display=False) as measured:
        item.measure(LossAt(model, data(32), F.cross_entropy), dict(model.named_parameters()))
    passes = measured.get_total_flops() / forward.get_total_flops()
    assert abs(passes - item.forward_passes()) <= 0.25 * item.forward_passes()
    assert np.isnan(fisher_diag.forward_passes())
