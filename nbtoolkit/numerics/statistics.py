"""The loss of a probe with other statistics in its normalisation layers than the model's mode asks for."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nbtoolkit.numerics.loss_at import Batch, LossAt
from nbtoolkit.numerics.shared_copy import shared_copy

STATISTICS = ("frozen", "reestimated", "as trained")
Normalisation = nn.modules.batchnorm._NormBase


def with_statistics(loss_at: LossAt, how: str) -> LossAt:
    """The same loss, its model with the statistics and in the mode that ``how`` says; the model itself is not touched.

    Args:
        loss_at: the loss.
        how: ``"frozen"``: eval mode, running statistics as they are, no dropout. ``"reestimated"``: eval mode, but
            every normalisation layer with running statistics uses those of the whole probe, which becomes one batch, at
            the parameters asked for (a probe that is a function is taken as it is). ``"as trained"``: the model as it
            is.

    Raises:
        ValueError: ``how`` is none of these, the batches of the probe cannot be made one, the model cannot be copied,
            or it has instance normalisation whose statistics are to be re-estimated.
    """
    if how not in STATISTICS:
        raise ValueError(f"statistics={how!r}: expected one of {', '.join(map(repr, STATISTICS))}")
    if loss_at.function is None:
        loss_at.weighted()  # read once, for all copies: a shuffle would change the probe
    if how == "as trained":
        return loss_at
    twin = whole(loss_at) if how == "reestimated" else copy.copy(loss_at)
    twin.model = shared_copy(loss_at.model).eval()
    if how == "reestimated":
        twin.together = None  # the statistics are of all examples
        for module in twin.model.modules():
            if isinstance(module, Normalisation) and module.running_mean is not None:
                _forget(module)
    return twin


def whole(loss_at: LossAt) -> LossAt:
    """The same loss with all examples of the probe in one batch.

    Raises:
        ValueError: the batches do not fit together.
    """
    batches = [batch for _, batch in loss_at.weighted()]
    if len(batches) == 1:
        return copy.copy(loss_at)
    try:
        return loss_at.with_probe([_joined(batches)])
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"statistics of the whole probe need it as one batch; its batches differ: {error}") from None


def _joined(parts: Sequence[Any]) -> Batch:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(_joined(column) for column in zip(*parts, strict=True))
    raise TypeError(f"a {type(first).__name__} in it is no tensor")


def _forget(module: Normalisation) -> None:
    """In eval mode a layer without running statistics uses those of the batch."""
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        raise ValueError("statistics='reestimated' does not know layers that normalise each example; use 'frozen'")
    module.running_mean = module.running_var = module.num_batches_tracked = None
    module.track_running_stats = False
