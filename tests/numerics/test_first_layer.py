"""The first layer of a network, replaced by sums of its outputs, or left alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics import first_layer, points
from nbtoolkit.numerics.first_layer import FirstLayer
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.statistics import with_statistics
from nbtoolkit.numerics.ways import OneByOne
from tests.numerics.along import ROWS, directions, evaluated, made, mlp, one_by_one


def test_what_one_way_replaced_the_next_finds_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(192, 12), nn.Linear(12, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x.flatten(1))
            return self.last(h.relu() if float(h.sum()) < 1e9 else h)  # cannot be mapped

    monkeypatch.setitem(points.SMALL, "cpu", 1e12)
    loss_at, pair = made(Branching)
    found = evaluated(loss_at, pair)
    torch.testing.assert_close(found(ROWS).loss, one_by_one(loss_at, pair, ROWS), rtol=1e-11, atol=0)
    assert type(found._way) is OneByOne
    assert found._way._first is not None


class Twice(nn.Module):
    """Calls one layer twice; inputs of the second call depend on the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.out = nn.Linear(80, 80), nn.Linear(80, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.same(self.same(x)))


class Scaled(nn.Module):
    """Has a parameter before the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.linear = nn.Parameter(torch.ones(80)), nn.Linear(80, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.scale * x)


class Listed(nn.Module):
    """Has a parameter before the first layer, in a module that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.scales, self.linear = nn.ParameterList([torch.ones(80)]), nn.Linear(80, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.scales[0] * x)


class Tied(nn.Module):
    """Uses the weight of its first layer again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(80, 80), nn.Linear(80, 80)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu())


@pytest.mark.parametrize("net", [Twice, Scaled, Listed, Tied, lambda: nn.Sequential(nn.Linear(10, 4), nn.Flatten())])
def test_a_first_layer_that_cannot_be_replaced_is_not(net: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = net().double()
    width = 10 if isinstance(model, nn.Sequential) else 80
    loss_at = LossAt(model, (torch.randn(6, width).double(), torch.arange(6) % 4), F.cross_entropy)
    params = {name: param.detach() for name, param in model.named_parameters()}
    pair = directions(params)
    elsewhere = {name: param + 0.1 for name, param in params.items()}
    with pytest.raises(ValueError, match="the first layer"):
        FirstLayer(with_statistics(loss_at, "frozen"), params, pair, [loss_at.weighted()[0][1]], elsewhere)
    found = evaluated(loss_at, pair)(ROWS)
    torch.testing.assert_close(found.loss, one_by_one(loss_at, pair, ROWS), rtol=1e-11, atol=0)


def test_outputs_of_the_first_layer_are_not_kept_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_layer, "BYTES", 100)
    loss_at, pair = made(mlp)
    found = evaluated(loss_at, pair)
    torch.testing.assert_close(found(ROWS).loss, one_by_one(loss_at, pair, ROWS), rtol=1e-11, atol=0)
    assert found._way._first is None
