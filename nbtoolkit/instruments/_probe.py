"""What the instruments on a probe share: its trained parameters, its gradient, its examples."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import fresh_leaves, trainable
from nbtoolkit.numerics.together import Together
from nbtoolkit.numerics.trees import layer_of


def leaves(loss_at: LossAt, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters on the same memory, with `requires_grad` as the model has it; what is not the model's has none."""
    own = dict(loss_at.model.named_parameters(remove_duplicate=False))
    trained = {loss_at.prefix + name for name, param in own.items() if param.requires_grad}
    return {name: param.detach().requires_grad_(name in trained) for name, param in params.items()}


def layers(loss_at: LossAt, params: Mapping[str, Tensor]) -> list[str]:
    """The labels of the dim ``layer``: modules with trained parameters of their own, and what is not the model's."""
    own = {loss_at.prefix + name for name, _ in loss_at.model.named_parameters(remove_duplicate=False)}
    at = leaves(loss_at, params)
    return list(dict.fromkeys(layer_of(name) for name, p in at.items() if p.requires_grad or name not in own))


def gradient(loss_at: LossAt, at: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The loss of the whole probe and its gradient, a vector; one batch at a time.

    Raises:
        ValueError: the loss depends on none of the parameters.
    """
    flat = Flat(trainable(at))
    loss: Tensor | float = 0.0
    total = torch.zeros(flat.size, device=flat.device, dtype=flat.dtype)
    for weight, batch in loss_at.weighted():
        points, state = fresh_leaves(at, flat)
        with torch.enable_grad():
            value = loss_at.on(batch, state)
            found = torch.autograd.grad(value, points, allow_unused=True)
        if all(part is None for part in found):
            raise ValueError("the probe's loss does not depend on the parameters it was given")
        loss = loss + weight * value.detach()
        parts = zip(found, points, strict=True)
        total.add_(flat.join([torch.zeros_like(p) if part is None else part for part, p in parts]), alpha=weight)
    return torch.as_tensor(loss), total


def alike(loss_at: LossAt) -> Together | None:
    """The processes that all have this probe and share the work on it; None where there are no such."""
    together: Together | None = loss_at.together
    return together if together is not None and together.alike else None


def shuffled(loss_at: LossAt, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of ``count`` examples of the probe, drawn without replacement, in random order.

    Raises:
        ValueError: the probe cannot be cut into examples.
    """
    inputs, targets = loss_at.arrays()
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))[:count]
    return inputs[order.to(inputs.device)], targets[order.to(targets.device)]
