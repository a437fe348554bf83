"""The loss along directions, against one plain evaluation at each point; which way was taken, and what stays."""

import copy
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics import passes, points
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.points import Points
from nbtoolkit.numerics.statistics import with_statistics
from nbtoolkit.numerics.ways import Mapped, OneByOne
from tests.numerics import cases
from tests.numerics.along import ROWS, cnn, directions, evaluated, made, mlp, one_by_one

WAYS: dict[str, dict[str, Any]] = {
    "mapped, first layer replaced": {"net": mlp, "kind": Mapped, "first": True, "SMALL": 1e12},
    "mapped": {"net": cnn, "kind": Mapped, "first": False, "SMALL": 1e12},
    "pieces, first layer replaced": {"net": mlp, "kind": OneByOne, "first": True, "SMALL": 0, "pieces": 30 // 4 + 1},
    "pieces, channels innermost": {"net": cnn, "kind": OneByOne, "first": False, "SMALL": 0, "pieces": 30 // 4 + 1},
}


@pytest.mark.parametrize("name", WAYS)
def test_every_way_gives_what_one_evaluation_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    way = WAYS[name]
    monkeypatch.setitem(points.SMALL, "cpu", way["SMALL"])
    loss_at, pair = made(way["net"])
    if "pieces" in way:  # four examples in each
        seen = passes.Seen()
        with torch.no_grad(), seen:
            loss_at(dict(loss_at.model.named_parameters()))
        monkeypatch.setitem(passes.CACHE, "cpu", 4 * seen.bytes // 30 + 1)
    found = evaluated(loss_at, pair)
    values = found(ROWS)
    assert type(found._way) is way["kind"]
    assert (found._way._first is not None) == way["first"]
    assert len(found._way._pieces) == way.get("pieces", 1)
    torch.testing.assert_close(values.loss, one_by_one(loss_at, pair, ROWS), rtol=1e-11, atol=0)
    again = found(ROWS.flip(0))
    torch.testing.assert_close(again.loss.flip(0), values.loss, rtol=1e-12, atol=0)


@pytest.mark.parametrize("statistics", ["frozen", "reestimated", "as trained"])
@pytest.mark.parametrize("net", [mlp, cnn])
def test_every_kind_of_statistics(net: Callable[[], nn.Module], statistics: str) -> None:
    loss_at, pair = made(net)
    found = evaluated(loss_at, pair, statistics)(ROWS)
    torch.testing.assert_close(found.loss, one_by_one(loss_at, pair, ROWS, statistics), rtol=1e-11, atol=0)


@pytest.mark.parametrize("name", cases.ALL)
def test_the_centre_is_the_loss_to_the_last_bit(name: str) -> None:
    case = cases.ALL[name]()
    pair = directions({name: param.detach() for name, param in case.params.items()})
    for statistics in ("frozen", "as trained"):
        with torch.no_grad():
            wanted = with_statistics(case.loss_at, statistics)(case.params)
        found = Points(case.loss_at, case.params, pair, statistics=statistics)(ROWS)
        assert float(found.loss[1]) == float(wanted)
        assert found.loss.isfinite().all()


def test_a_sum_over_examples_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(points.SMALL, "cpu", 0)
    monkeypatch.setitem(passes.CACHE, "cpu", 1)
    loss_at, pair = made(cnn, loss=lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="sum"))
    found = evaluated(loss_at, pair)
    torch.testing.assert_close(found(ROWS).loss, one_by_one(loss_at, pair, ROWS), rtol=1e-12, atol=0)
    assert found._way._pieces is None


def test_what_a_model_does_not_bear_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Awkward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = nn.Conv2d(3, 2, 3), nn.Linear(72, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = self.conv(x)
            if float(h.sum()) > 1e9:  # values decide: cannot be mapped
                h = h + 1
            return self.out(h.view(len(x), -1))  # fails where channels are innermost

    loss_at, pair = made(Awkward)
    monkeypatch.setitem(points.SMALL, "cpu", 1e12)
    found = evaluated(loss_at, pair)
    torch.testing.assert_close(found(ROWS).loss, one_by_one(loss_at, pair, ROWS), rtol=1e-11, atol=0)
    assert type(found._way) is OneByOne


def test_infinite_and_undefined_losses_stay() -> None:
    model = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        model.weight.fill_(1.0)
    x = torch.ones(2, 1).double()
    loss_at = LossAt(model, (x, x), lambda outputs, targets: (outputs.log() / targets).mean())
    pair = [{"weight": torch.ones(1, 1).double()}]
    found = evaluated(loss_at, pair)(torch.tensor([[-1.0], [-2.0], [0.0], [1.0]]))
    assert found.loss[0] == -torch.inf
    assert found.loss[1].isnan()
    assert found.loss[2] == 0.0
    assert float(found.loss[3]) == pytest.approx(0.6931471805599453, rel=1e-12)


def test_a_way_that_is_wrong_where_losses_are_finite_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reused(nn.Module):
        """Uses the weight of its first layer again, unseen by its modules."""

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(80, 6)

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(self.first(x).relu(), self.first.weight.t())

    monkeypatch.setitem(points.SMALL, "cpu", 1e12)
    x = torch.randn(30, 80).double()
    loss_at, pair = made(Reused, (x, x), lambda outputs, _: outputs.square().exp().mean())
    rows = torch.tensor([[30.0, -30.0], [0.3, 0.2], [0.0, 0.0], [-0.2, 0.1]])
    found = evaluated(loss_at, pair)
    values = found(rows)
    assert values.loss[0].isinf()  # where every way agrees
    assert values.loss[1:].isfinite().all()
    torch.testing.assert_close(values.loss, one_by_one(loss_at, pair, rows), rtol=1e-11, atol=0)
    assert type(found._way) is Mapped
    assert found._way._first is None


def test_a_way_with_other_error_rates_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Turned(nn.Module):
        """Scores that depend on the number of examples, for a loss that does not depend on them."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) * (1 if len(x) == 30 else -1)

    monkeypatch.setitem(points.SMALL, "cpu", 0)
    monkeypatch.setitem(passes.CACHE, "cpu", 1)
    probe = torch.randn(30, 5).double(), torch.zeros(30, dtype=torch.int64)
    loss_at, pair = made(Turned, probe, lambda outputs, _: outputs.square().mean())
    found = evaluated(loss_at, pair)
    found(ROWS)
    assert found._way._pieces is None


def test_attention_is_mapped_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(points.SMALL, "cpu", 1e12)
    x = torch.randn(6, 3, 8).double(), torch.arange(6) % 4
    layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(24, 4)]
    loss_at, pair = made(lambda: nn.Sequential(*layers), x)
    found = evaluated(loss_at, pair)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        values = found(ROWS)
    assert not told
    assert type(found._way) is Mapped
    assert torch.backends.mha.get_fastpath_enabled()
    torch.testing.assert_close(values.loss, one_by_one(loss_at, pair, ROWS), rtol=1e-11, atol=0)


def test_a_loss_that_differentiates_within_itself() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = torch.randn(10, 2).double()

    def residual(net: nn.Module) -> Tensor:
        at = x.clone().requires_grad_()
        return torch.autograd.grad(net(at).sum(), at, create_graph=True)[0].square().mean()

    pair = directions(dict(model.named_parameters()))
    found = Points(LossAt(model, residual), dict(model.named_parameters()), pair)(ROWS)
    for row, value in zip(ROWS.tolist(), found.loss.tolist(), strict=True):
        twin = copy.deepcopy(model)
        with torch.no_grad():
            for name, param in twin.named_parameters():
                for c, d in zip(row, pair, strict=True):
                    param.add_(c * d.get(name, 0.0))
        assert value == pytest.approx(residual(twin).item(), rel=1e-12)
    assert all(param.grad is None for param in model.parameters())


@pytest.mark.parametrize("statistics", ["frozen", "reestimated", "as trained"])
def test_nothing_of_the_user_changes(statistics: str) -> None:
    loss_at, pair = made(cnn)
    model = loss_at.model

    def state() -> dict[str, Any]:
        return copy.deepcopy(
            {
                "model": dict(model.state_dict()),
                "versions": [p._version for p in (*model.parameters(), *model.buffers())],
                "flags": [(p.requires_grad, p.grad) for p in model.parameters()],
                "modes": [module.training for module in model.modules()],
                "layers": [list(vars(module)) for module in model.modules()],
                "hooks": [len(module._forward_pre_hooks) for module in model.modules()],
                "directions": pair,
                "random": [torch.get_rng_state(), list(random.getstate()[1]), list(np.random.get_state())[1]],  # noqa: NPY002
            }
        )

    before = state()
    evaluated(loss_at, pair, statistics)(ROWS)
    after = state()
    assert after.pop("layers") == before.pop("layers")
    torch.testing.assert_close(after, before, rtol=0, atol=0)
