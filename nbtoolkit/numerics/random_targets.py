"""Training a copy of a model, on the side, on random classes for the examples it has."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nbtoolkit.numerics.class_error import class_dim, wide
from nbtoolkit.numerics.loss_at import LossAt

OPTIMIZERS = ("adam", "sgd")
BETAS, EPSILON = (0.9, 0.999), 1e-8  # torch's own


class Trained(NamedTuple):
    """Losses before the first step and after each one, ``(steps + 1,)``, and the accuracy after the last, 0-d."""

    loss: Tensor
    accuracy: Tensor


def draw(outputs: Tensor, targets: object, seed: int) -> tuple[Tensor, int]:
    """Random classes, one for each prediction, and the dim of the outputs that holds the scores of the classes.

    Args:
        outputs: ``(N, C)``, or with further dims if the targets tell which one holds the classes.
        targets: the true ones.
        seed: of the draw, which disturbs no other random numbers.

    Raises:
        ValueError: there are fewer than two classes, or nobody can say which dim holds them.
    """
    known = class_dim(outputs, targets)
    dim = 1 if outputs.ndim == 2 else known
    if not isinstance(dim, int):
        raise ValueError(f"random classes need outputs (N, C): the {dim}")
    if outputs.shape[dim] < 2:
        raise ValueError("the model has a single output; random classes need two or more")
    shape = outputs.shape[:dim] + outputs.shape[dim + 1 :]
    drawn = torch.randint(outputs.shape[dim], shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(outputs.device), dim


def train(
    loss_at: LossAt, params: Mapping[str, Tensor], inputs: Tensor, targets: Tensor, dim: int, *, steps: int, lr: float,
    optimizer: str,
) -> Trained:  # fmt: skip
    """Train a copy of the parameters on the cross-entropy of one batch, with a fresh optimizer.

    Args:
        loss_at: has the model.
        params: by name; those that require a gradient are trained, and none is changed.
        inputs: of the batch.
        targets: classes.
        dim: of the outputs that holds the scores of the classes.
        steps: of the optimizer.
        lr: its learning rate.
        optimizer: one of `OPTIMIZERS`.

    Raises:
        ValueError: the outputs depend on no parameter that is trained.
    """
    names = [name for name, param in params.items() if param.requires_grad]
    own = [params[name].detach().clone() for name in names]
    fixed = {name: param.detach() for name, param in params.items()}
    rule = _adam(own, lr) if optimizer == "adam" else _sgd(own, lr)

    def loss() -> tuple[Tensor, Tensor, list[Tensor]]:
        at = [part.detach().requires_grad_() for part in own]
        outputs = loss_at.outputs((inputs, targets), {**fixed, **dict(zip(names, at, strict=True))})
        return F.cross_entropy(outputs.movedim(dim, 1), targets), outputs.detach(), at

    losses = []
    for _ in range(steps):
        with torch.enable_grad():
            value, _, at = loss()
            if not value.requires_grad:
                raise ValueError("the model's outputs depend on none of the parameters that are trained")
            grads = torch.autograd.grad(value, at, allow_unused=True)
        losses.append(value.detach())
        rule([torch.zeros_like(part) if grad is None else grad for grad, part in zip(grads, at, strict=True)])
    with torch.no_grad():
        value, outputs, _ = loss()
    return Trained(wide(torch.stack([*losses, value])), wide(outputs.argmax(dim) == targets).mean())


def _sgd(own: list[Tensor], lr: float) -> Callable[[list[Tensor]], None]:
    return lambda grads: torch._foreach_add_(own, grads, alpha=-lr)


def _adam(own: list[Tensor], lr: float) -> Callable[[list[Tensor]], None]:
    """Adam's steps, without an optimizer that somebody might watch."""
    first, second = ([torch.zeros_like(part) for part in own] for _ in range(2))
    done = 0

    def step(grads: list[Tensor]) -> None:
        nonlocal done
        done += 1
        torch._foreach_lerp_(first, grads, 1 - BETAS[0])
        torch._foreach_mul_(second, BETAS[1])
        torch._foreach_addcmul_(second, grads, grads, 1 - BETAS[1])
        scale = torch._foreach_sqrt(second)
        torch._foreach_div_(scale, (1 - BETAS[1] ** done) ** 0.5)
        torch._foreach_add_(scale, EPSILON)
        torch._foreach_addcdiv_(own, first, scale, -lr / (1 - BETAS[0] ** done))

    return step
