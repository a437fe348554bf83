"""The trainings that the claims are about: scikit-learn's digits, small networks, ordinary loops."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

Loss = Callable[[Tensor, Tensor], Tensor]


def digits(count: int, seed: int, *, standardised: bool) -> tuple[Tensor, Tensor]:
    """Pixels and labels of ``count`` images; pixels lie in [0, 1] where they are not standardised."""
    data: Any = load_digits()
    chosen = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(seed))[:count].numpy()
    pixels = data.data[chosen]
    pixels = StandardScaler().fit_transform(pixels) if standardised else pixels / 16
    return torch.tensor(pixels, dtype=torch.float32), torch.tensor(data.target[chosen])


def one_hot(labels: Tensor) -> Tensor:
    return F.one_hot(labels, 10).float()


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the squared distance, the mean over examples."""
    return 0.5 * (outputs - targets).square().sum(1).mean()


def tanh_network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))


def relu_network(seed: int) -> nn.Sequential:
    """3,466 parameters, in He's initialisation."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return model


def full_batch(
    model: nn.Module, optimizer: Optimizer, loss: Loss, x: Tensor, y: Tensor, steps: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> None:  # fmt: skip
    """Every step on all examples."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def epochs(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, count: int) -> None:
    """Cross-entropy on batches of 64."""
    for _ in range(count):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()


def dense_hessian(model: nn.Module, loss: Loss, x: Tensor, y: Tensor, *, rows: int = 32) -> Tensor:
    """All of the Hessian, in float64, ``rows`` at a time."""
    exact = copy.deepcopy(model).double()
    params = list(exact.parameters())
    gradient = torch.autograd.grad(loss(exact(x.double()), y), params, create_graph=True)
    flat = torch.cat([part.reshape(-1) for part in gradient])
    blocks = [
        torch.autograd.grad(flat, params, unit, retain_graph=True, is_grads_batched=True)
        for unit in torch.eye(len(flat), dtype=torch.float64).split(rows)
    ]
    return torch.cat([torch.cat([part.flatten(1) for part in block], 1) for block in blocks])
