"""Chains of layers whose units can be reset, and a loop that trains them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.interventions import ContinualBackprop


def mlp() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))


def cnn() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 3)
    )


def batch(model: nn.Sequential) -> tuple[Tensor, Tensor]:
    shape = (6,) if isinstance(model[0], nn.Linear) else (2, 8, 8)
    return torch.randn(16, *shape), torch.randint(0, 3, (16,))


def train(model: nn.Sequential, optimizer: torch.optim.Optimizer, renew: ContinualBackprop, steps: int) -> list[int]:
    done = []
    for _ in range(steps):
        x, y = batch(model)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        done.append(renew.step())
    return done


def weighted(model: nn.Sequential) -> list[Any]:
    return [layer for layer in model if isinstance(layer, (nn.Linear, nn.Conv2d))]
