"""Logits of a classifier: worked by hand, and what a constant does to them."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nbtoolkit.instruments import LossAt, Unknown, logit_stats


class Fixed(nn.Module):
    """Returns its own logits, of the examples asked for."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.logits[rows]


def measured(logits: torch.Tensor, targets: torch.Tensor, *, parts: int = 1, **settings: Any) -> dict[str, np.ndarray]:
    model, rows = Fixed(logits), torch.arange(len(logits))
    batches = list(zip(rows.tensor_split(parts), targets.tensor_split(parts), strict=True))
    loss_at = LossAt(model, batches, lambda outputs, y: outputs.mean())
    return logit_stats(loss_at, {"logits": model.logits.detach()}, **settings)


LOGITS = torch.tensor([[1.0, 3.0, 0.0], [2.0, 2.0, -5.0], [0.0, 0.0, 4.0]], dtype=torch.float64)
TARGETS = torch.tensor([1, 0, 0])  # margins 2, 0, -4


def test_worked_by_hand() -> None:
    found = measured(LOGITS, TARGETS, quantiles=(0.0, 0.25, 0.5, 1.0))
    assert float(found["largest"]) == 5
    assert float(found["mean"]) == pytest.approx(7 / 9)
    assert float(found["spread"]) == pytest.approx(float(LOGITS.std(correction=0)))
    np.testing.assert_allclose(found["margin"], [-4, -2, 0, 2])
    assert float(found["positive_margin"]) == pytest.approx(1 / 3)  # a tie is not positive
    z = [[math.exp(value) for value in row] for row in LOGITS.tolist()]
    assert float(found["log_partition"]) == pytest.approx(sum(math.log(sum(row)) for row in z) / 3)
    assert float(found["confidence"]) == pytest.approx(sum(max(row) / sum(row) for row in z) / 3)


def test_a_constant_shifts_the_partition_function_and_leaves_the_rest() -> None:
    logits, targets = torch.randn(50, 7, dtype=torch.float64), torch.arange(50) % 7
    one, other = measured(logits, targets), measured(logits + 3.5, targets)
    assert float(other["log_partition"] - one["log_partition"]) == pytest.approx(3.5, rel=1e-12)
    assert float(other["mean"] - one["mean"]) == pytest.approx(3.5, rel=1e-12)
    for name in ("margin", "confidence", "positive_margin", "spread"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-10, atol=1e-14)
    accuracy = float((logits.argmax(1) == targets).double().mean())
    assert float(one["positive_margin"]) == pytest.approx(accuracy)
    wanted = np.quantile((logits[range(50), targets] - _others(logits, targets)).numpy(), (0.01, 0.1, 0.5, 0.9, 0.99))
    np.testing.assert_allclose(one["margin"], wanted, rtol=1e-12)


def _others(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.cat([row[:y], row[y + 1 :]]).max() for row, y in zip(logits, targets, strict=True)])


@pytest.mark.parametrize("parts", [2, 7])
def test_batches_make_one_probe(parts: int) -> None:
    logits, targets = torch.randn(50, 7, dtype=torch.float64) + 2, torch.arange(50) % 7
    one, other = measured(logits, targets), measured(logits, targets, parts=parts)
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=1e-12)


def test_sequences_and_targets_that_do_not_count() -> None:
    logits, targets = torch.randn(6, 5, 7), torch.randint(0, 7, (6, 5))
    targets[:, 0] = -100
    found = measured(logits, targets)
    flat = measured(logits[:, 1:].reshape(24, 7), targets[:, 1:].reshape(24))
    for name, value in flat.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10)


def test_without_classes_only_the_size_is_known() -> None:
    model, x = nn.Linear(3, 2).double(), torch.randn(8, 3).double()
    params = {name: param.detach() for name, param in model.named_parameters()}
    found = logit_stats.measure(LossAt(model, (x, torch.zeros(8, 2).double()), F.mse_loss), params)
    assert found["largest"] == float(model(x).detach().abs().max())
    for name in ("log_partition", "margin", "confidence", "positive_margin"):
        assert isinstance(found[name], Unknown)
        assert found[name].reason == "targets are no class labels"
    uncounted = logit_stats.measure(LossAt(model, (x, torch.full((8,), -1)), F.cross_entropy), params)
    assert uncounted["margin"].reason == "no target counts"
    with pytest.raises(ValueError, match="hides the outputs"):
        logit_stats(LossAt(model, lambda model: model(x).sum()), params)


def test_a_logit_that_is_not_finite_is_nan_and_not_zero() -> None:
    broken = LOGITS.clone()
    broken[1, 1] = torch.nan
    found = measured(broken, TARGETS)
    assert all(np.isnan(value).all() for value in found.values())


def test_eval_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3), nn.BatchNorm1d(3))
    x, y = torch.randn(20, 4), torch.arange(20) % 3
    params = {name: param.detach() for name, param in model.named_parameters()}
    found = logit_stats(LossAt(model, (x, y), F.cross_entropy), params)
    assert model.training
    with torch.no_grad():
        assert float(found["largest"]) == float(model.eval()(x).abs().max())
