"""The share of examples that a classifier gets wrong, beside its loss, from the same outputs."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.numerics.loss_at import LossAt, scalar

HIDDEN = "a probe that is a function hides the outputs"
NO_LABELS = "targets are no class labels"
AMBIGUOUS = "outputs of shape {outputs} for targets of shape {targets} do not tell which dim holds the classes"


def beside_loss(loss_at: LossAt, told: Callable[[str], None]) -> LossAt:
    """The same loss, whose `on` gives ``(loss, counts)``, see `missed`; the counts are NaN where there are no classes.

    Args:
        loss_at: the loss.
        told: called with why there are no classes.
    """
    twin, loss, function = copy.copy(loss_at), loss_at.loss, loss_at.function

    def both(outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        assert loss is not None
        value, dim = scalar(loss(outputs, targets)), class_dim(outputs, targets)
        if isinstance(dim, int):
            return value, missed(outputs, targets, dim)
        told(dim)
        return value, _nothing(value)

    def alone(model: Any) -> tuple[Tensor, Tensor]:
        value = scalar(function(model))
        return value, _nothing(value)

    twin.loss, twin.form = both, lambda pair: pair  # type: ignore[assignment]
    if function is not None:
        told(HIDDEN)
        twin.function = alone
    return twin


def class_dim(outputs: Any, targets: Any) -> int | str:
    """The dim of outputs ``(N, C, ...)`` or ``(N, ..., C)`` that holds the scores of classes, or why there is none.

    Args:
        outputs: floating point numbers.
        targets: the classes, integers ``(N, ...)``.
    """
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor) and outputs.is_floating_point()):
        return NO_LABELS
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        return NO_LABELS
    shape = outputs.shape
    dims = [d for d in sorted({1, outputs.ndim - 1}) if 0 < d < outputs.ndim and shape[d] > 1]
    dims = [d for d in dims if shape[:d] + shape[d + 1 :] == targets.shape]
    if len(dims) > 1:
        return AMBIGUOUS.format(outputs=tuple(shape), targets=tuple(targets.shape))
    return dims[0] if dims else NO_LABELS


def missed(outputs: Tensor, targets: Tensor, dim: int) -> Tensor:
    """How many targets are not the largest output, and how many count, ``(2,)``: negative ones do not.

    The first is NaN where an output is. Counts of the parts of a probe add up, which their error rates do not.
    """
    counted = targets >= 0
    wrong = wide(((outputs.argmax(dim) != targets) & counted).sum())
    wrong = torch.where(outputs.isnan().any(), torch.full_like(wrong, torch.nan), wrong)
    return torch.stack([wrong, wide(counted.sum())])


def classes(outputs: Tensor, targets: Any) -> Tensor:
    """The largest output at each target that counts, ``(targets,)``; NaN where an output is.

    Raises:
        ValueError: these are no scores of classes.
    """
    dim = class_dim(outputs, targets)
    if not isinstance(dim, int):
        raise ValueError(dim)
    largest = wide(outputs.argmax(dim))
    return torch.where(outputs.isnan().any(dim), torch.full_like(largest, torch.nan), largest)[targets >= 0]


def wide(tensor: Tensor) -> Tensor:
    """The tensor in the widest floating point numbers that its device knows."""
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)


def _nothing(like: Tensor) -> Tensor:
    return wide(torch.full((2,), torch.nan, device=like.device))
