"""Error rates beside the loss, and where there is none."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics import passes, points
from nbtoolkit.numerics.class_error import class_dim, classes, missed
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.ways import Mapped, OneByOne
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


def test_labels_and_what_is_missed_of_awkward_shapes() -> None:
    outputs = torch.tensor([[[1.0, 5.0, 0.0], [2.0, 4.0, 3.0]]])  # (1, 2 classes, 3 places)
    targets = torch.tensor([[1, 1, -100]])
    assert missed(outputs, targets, 1).tolist() == [1.0, 2.0]  # negative ones do not count
    assert missed(outputs.mT, targets, 2).tolist() == [1.0, 2.0]
    assert classes(outputs, targets).tolist() == classes(outputs.mT, targets).tolist() == [1.0, 0.0]
    assert missed(torch.full((2, 3), torch.nan), torch.tensor([0, 1]), 1)[0].isnan()
    whole = torch.int64
    assert class_dim(outputs, torch.zeros(1, 3, dtype=whole)) == 1
    assert class_dim(outputs, torch.zeros(1, 2, dtype=whole)) == 2
    assert class_dim(torch.zeros(4, 3), torch.zeros(4, dtype=whole)) == 1
    assert class_dim(torch.zeros(4, 5, 5, 3), torch.zeros(4, 5, 5, dtype=whole)) == 3
    for one, other in (
        (torch.zeros(4, 1), torch.zeros(4, dtype=whole)),
        ((outputs,), torch.zeros(1, 3, dtype=whole)),
        (torch.zeros(4, 2), torch.zeros(4)),
        (torch.zeros(4), torch.zeros(4, dtype=whole)),
        (torch.zeros(4, 2), torch.zeros(4, 2, dtype=whole)),
    ):
        assert class_dim(one, other) == "targets are no class labels"


def test_a_dim_that_may_be_that_of_the_classes_or_not_has_no_error_rate() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4)).double()
    tokens = torch.randint(0, 4, (6, 3))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    pair = directions(dict(model.named_parameters()))
    clear = evaluated(LossAt(model, (tokens, tokens), loss), pair)
    assert float(clear(ROWS).error[1]) == float((model(tokens).argmax(-1) != tokens).double().mean())
    square = tokens.repeat(1, 2)[:, :4]
    found = evaluated(LossAt(model, [(tokens, tokens), (square, square), (tokens, tokens)], loss), pair)
    assert found(ROWS).error.isnan().all()
    assert found.no_error == "outputs of shape (6, 4, 4) for targets of shape (6, 4) do not tell which dim holds the " \
        "classes"  # fmt: skip


@pytest.mark.parametrize("way", ["mapped", "pieces", "batches"])
def test_every_target_that_counts_has_the_same_weight(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 12), nn.ReLU(), nn.Linear(12, 4))
    x, y = torch.randn(40, 3, 8, 8), torch.arange(40) % 4
    y[20:] = model(x[20:]).argmax(1)  # right at the origin
    y[:18] = -100  # nothing counts in the first pieces
    cut = [(x[:16], y[:16]), (x[16:], y[16:])] if way == "batches" else (x, y)
    monkeypatch.setitem(points.SMALL, "cpu", 1e12 if way == "mapped" else 0)
    # A mean over the examples, so that the loss itself can be cut.
    loss_at = LossAt(model, cut, lambda out, y: F.cross_entropy(out, y, reduction="none", ignore_index=-100).mean())
    if way != "mapped":
        seen = passes.Seen()
        with torch.no_grad(), seen:
            loss_at(dict(model.named_parameters()))
        monkeypatch.setitem(passes.CACHE, "cpu", seen.bytes // 4)  # ten examples or fewer
    pair = directions(dict(model.named_parameters()))
    found: Any = evaluated(loss_at, pair)
    for row, rate in zip(ROWS.tolist(), found(ROWS).error.tolist(), strict=True):
        twin = copy.deepcopy(model)
        with torch.no_grad():
            for name, param in twin.named_parameters():
                for c, d in zip(row, pair, strict=True):
                    param.add_(c * d.get(name, 0.0))
        wrong = int((twin(x).argmax(1) != y)[18:].sum())
        assert rate == wrong / 22  # in double precision
    assert type(found._way) is (Mapped if way == "mapped" else OneByOne)
    assert len(found._way._pieces or ()) >= {"mapped": 1, "pieces": 4, "batches": 5}[way]
