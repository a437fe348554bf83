"""The share of examples that a classifier gets wrong, beside its loss, from the same outputs."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.numerics.loss_at import LossAt

HIDDEN = "a probe that is a function hides the outputs"
NO_LABELS = "targets are no class labels"


def beside_loss(loss_at: LossAt, told: Callable[[str], None]) -> LossAt:
    """The same loss, whose `on` gives ``(loss, error rate)``; the rate is NaN where there is none.

    Args:
        loss_at: the loss.
        told: called with why there is no error rate, or with an empty string.
    """
    twin, loss, function = copy.copy(loss_at), loss_at.loss, loss_at.function

    def both(outputs: Any, targets: Any) -> Any:
        assert loss is not None
        reason = "" if are_labels(outputs, targets) else NO_LABELS
        told(reason)
        return loss(outputs, targets), float("nan") if reason else error_rate(outputs, targets)

    twin.loss = both
    if function is not None:
        told(HIDDEN)
        twin.function = lambda model: (function(model), float("nan"))
    return twin


def are_labels(outputs: Any, targets: Any) -> bool:
    """Whether outputs ``(N, C, ...)`` are scores of classes and targets ``(N, ...)`` the classes."""
    return (
        isinstance(outputs, Tensor) and isinstance(targets, Tensor)
        and outputs.ndim >= 2 and outputs.shape[1] > 1 and outputs.is_floating_point()
        and not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
        and outputs.shape[:1] + outputs.shape[2:] == targets.shape
    )  # fmt: skip


def error_rate(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of the targets that are not the largest output; negative ones do not count; NaN where an output is NaN."""
    counted = targets >= 0
    wrong = wide(((outputs.argmax(1) != targets) & counted).sum()) / counted.sum()
    return torch.where(outputs.isnan().any(), torch.nan, wrong)


def wide(tensor: Tensor) -> Tensor:
    """The tensor in the widest floating point numbers that its device knows."""
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)
