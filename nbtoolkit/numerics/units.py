"""What the hidden units of a layer do over many examples: which are silent, and which say the same."""

import torch
from torch import Tensor

from nbtoolkit.numerics.class_error import wide

MOST = 4096  # units that are compared with each other
CHUNK = 2**22  # numbers taken to float64 at once


def samples(activations: Tensor) -> Tensor:
    """Activations ``(examples, units, ...)`` as ``(samples, units)``: each position of an example is a sample."""
    return activations.movedim(1, -1).reshape(-1, activations.shape[1])


def dormant(activations: Tensor, threshold: float) -> Tensor:
    """Which units are dormant: ``E|h_i| <= threshold * mean_k E|h_k|``, ``(units,)``; all of a layer that is silent.

    Args:
        activations: h, ``(examples, units, ...)``; means are over examples and positions.
        threshold: share of the layer's mean.

    Source: Sokar et al. (2023), arXiv:2302.12902, definition 3.1.
    """
    size = wide(activations.abs().movedim(1, 0).flatten(1)).mean(1)
    return size <= threshold * size.mean()


def dead(activations: Tensor) -> Tensor:
    """Which units are exactly 0 for all examples, ``(units,)``."""
    return (activations == 0).movedim(1, 0).flatten(1).all(1)


def active(activations: Tensor) -> Tensor:
    """Mean share of units above 0, over examples and positions."""
    return wide(torch.count_nonzero(activations > 0)) / activations.numel()


def distinct(activations: Tensor, duplicate: float) -> int | None:
    """How many units are left when the silent ones are dropped and duplicates are counted once.

    Units are duplicates where the absolute value of their correlation over samples is above ``duplicate``; chains of
    duplicates are one. Units that are constant and not 0 are multiples of each other, and so one. None where there are
    more than `MOST` units.

    Args:
        activations: ``(examples, units, ...)``.
        duplicate: correlation, 0 to 1.

    Source: after Joudaki et al. (2025), arXiv:2510.00304, duplicated units.
    """
    rows = samples(activations)
    if rows.shape[1] > MOST:
        return None
    live = ~dead(activations)
    rows = rows[:, live]
    count = rows.shape[1]
    if not count:
        return 0
    parts = rows.split(max(1, CHUNK // count))
    mean = torch.stack([wide(part).sum(0) for part in parts]).sum(0) / len(rows)
    products = torch.zeros(count, count, dtype=mean.dtype, device=mean.device)
    for part in parts:
        centred = wide(part) - mean
        products.addmm_(centred.T, centred)
    spread = products.diagonal().sqrt()
    size = torch.hypot(spread, mean * len(rows) ** 0.5)
    varying = spread > 4 * torch.finfo(activations.dtype).eps * size  # the rest is rounding
    matrix = products[varying][:, varying] / spread[varying] / spread[varying, None]
    linked = matrix.abs().clamp(max=1) > duplicate  # 1 + rounding is no more than 1
    return _groups(linked.cpu()) + int(not bool(varying.all()))


def _groups(linked: Tensor) -> int:
    """How many connected components a symmetric graph ``(n, n)`` has."""
    unseen = linked.sum(1) > linked.diagonal()  # the others are alone
    count = len(unseen) - int(unseen.sum())
    while bool(unseen.any()):
        count += 1
        reached = unseen.nonzero()[:1, 0]
        while len(reached):
            unseen[reached] = False
            reached = (linked[reached].any(0) & unseen).nonzero()[:, 0]
    return count
