"""Two trained digit classifiers and what an instrument needs to compare them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.trajectory import Trajectory


def digits(count: int = 600) -> tuple[Tensor, Tensor]:
    data: Any = load_digits()
    return torch.tensor(data.data[:count] / 8 - 1, dtype=torch.float32), torch.tensor(data.target[:count])


def network(seed: int, *, norm: bool = False, width: int = 64) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.Linear(64, width), nn.BatchNorm1d(width) if norm else nn.Identity(), nn.ReLU(), nn.Linear(width, 10)]
    return nn.Sequential(*layers)


@cache
def trained(seed: int, norm: bool = False) -> nn.Sequential:
    """To a loss of about 0.01; not to be changed."""
    model, (x, y) = network(seed, norm=norm), digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def passed(*copies: Mapping[str, Tensor]) -> Trajectory:
    """A trajectory through these, ten steps apart."""
    trajectory = Trajectory()
    for place, copy in enumerate(copies):
        trajectory.add(10 * place, copy)
    return trajectory


def probe_of(model: nn.Module) -> LossAt:
    return LossAt(model, digits(), F.cross_entropy)
