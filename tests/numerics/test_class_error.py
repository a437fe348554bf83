"""Error rates beside the loss, and where there is none."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nbtoolkit.numerics.class_error import are_labels, error_rate
from nbtoolkit.numerics.loss_at import LossAt
from tests.numerics.along import ROWS, directions, evaluated, made, mlp


def test_the_error_rate_is_that_of_the_outputs() -> None:
    loss_at, pair = made(mlp)
    found = evaluated(loss_at, pair)
    error = found(ROWS).error
    model, (x, y) = copy.deepcopy(loss_at.model), loss_at.weighted()[0][1]
    for row, rate in zip(ROWS.tolist(), error.tolist(), strict=True):
        with torch.no_grad():
            for name, param in model.named_parameters():
                param.copy_(dict(loss_at.model.named_parameters())[name])
                for c, d in zip(row, pair, strict=True):
                    param.add_(c * d.get(name, 0.0))
            assert rate == pytest.approx(float((model(x).argmax(1) != y).double().mean()), abs=1e-12)
    assert found.no_error == ""


def test_where_there_is_no_error_rate_it_is_nan_and_says_why() -> None:
    x, y = torch.randn(6, 5), torch.randn(6, 2)
    model = nn.Linear(5, 2)
    for probe, loss, reason in (
        ((x, y), F.mse_loss, "targets are no class labels"),
        (lambda m: F.mse_loss(m(x), y), None, "a probe that is a function hides the outputs"),
    ):
        loss_at = LossAt(model, probe, loss)
        found = evaluated(loss_at, directions(dict(model.named_parameters())))
        values = found(ROWS)
        assert values.error.isnan().all()
        assert values.loss.isfinite().all()
        assert found.no_error == reason


def test_labels_and_error_rates_of_awkward_shapes() -> None:
    outputs = torch.tensor([[[1.0, 5.0, 0.0], [2.0, 4.0, 3.0]]])  # (1, 2 classes, 3 places)
    assert float(error_rate(outputs, torch.tensor([[1, 1, -100]]))) == 0.5  # negative ones do not count
    assert error_rate(torch.full((2, 3), torch.nan), torch.tensor([0, 1])).isnan()
    assert are_labels(outputs, torch.zeros(1, 3, dtype=torch.int64))
    assert not are_labels(outputs, torch.zeros(1, 2, dtype=torch.int64))
    assert not are_labels(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))
    assert not are_labels((outputs,), torch.zeros(1, 3, dtype=torch.int64))
    assert not are_labels(torch.zeros(4, 2), torch.zeros(4))
