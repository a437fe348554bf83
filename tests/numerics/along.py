"""Losses along directions, each point evaluated on its own: what faster ways are held against."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.points import Points
from nbtoolkit.numerics.statistics import with_statistics

ROWS = torch.tensor([[0.3, -0.7], [0.0, 0.0], [0.0, 1.1], [-0.4, 0.0], [0.9, 0.2]])


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 12), nn.ReLU(), nn.Linear(12, 4))


def cnn() -> nn.Module:
    layers = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.4)
    return nn.Sequential(*layers, nn.Linear(45, 4))


def made(net: Callable[[], nn.Module], probe: Any = None, loss: Any = F.cross_entropy) -> tuple[LossAt, list[Any]]:
    torch.manual_seed(0)
    model = net().double()
    probe = (torch.randn(30, 3, 8, 8).double(), torch.arange(30) % 4) if probe is None else probe
    return LossAt(model, probe, loss), directions(dict(model.named_parameters()))


def directions(params: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    whole = {name: 0.2 * torch.randn_like(param) for name, param in params.items()}
    return [whole, {name: 0.3 * torch.randn_like(param) for name, param in list(params.items())[:-1]}]


def one_by_one(loss_at: LossAt, pair: list[Any], rows: Tensor, statistics: str = "frozen") -> Tensor:
    twin, found = with_statistics(loss_at, statistics), []
    params = {name: param.detach() for name, param in loss_at.model.named_parameters()}
    for row in rows.tolist():
        theta = dict(params)
        for c, d in zip(row, pair, strict=True):
            theta |= {name: theta[name] + c * part for name, part in d.items()}
        with torch.no_grad():
            found.append(twin(theta).double())
    return torch.stack(found)


def evaluated(loss_at: LossAt, pair: list[Any], statistics: str = "frozen") -> Points:
    return Points(loss_at, dict(loss_at.model.named_parameters()), pair, statistics=statistics)
