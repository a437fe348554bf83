"""What a forward pass takes, and the probe in pieces whose passes stay in the cache."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from nbtoolkit.numerics.loss_at import Batch, LossAt, examples

CACHE = {"cpu": 2**22, "cuda": 2**30}  # bytes of the largest activation of one piece


class Seen(TorchDispatchMode):
    """Counts, while it is entered, floating point operations and the bytes of the largest new tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.bytes = 0, 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Let the operation be done, and look at what it gave."""
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        counted = flop_registry.get(func._overloadpacket)
        if counted is not None:
            self.flops += counted(*args, **kwargs, out_val=found)
        if not func.is_view:
            sizes = [leaf.numel() * leaf.element_size() for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
            self.bytes = max([self.bytes, *sizes])
        return found


def pieces(loss_at: LossAt, most: int, device: torch.device, channels_last: bool = False) -> list[tuple[float, Batch]]:
    """The probe in parts of at most ``most`` examples on a device, each with its share of the examples.

    Args:
        loss_at: has the probe.
        most: examples in a part.
        device: of the parts.
        channels_last: whether images get the channels as their innermost dim.

    Raises:
        ValueError: it cannot be cut: a part of a batch is no tensor with one row for each example.
    """
    parts = []
    for weight, batch in loss_at.weighted():
        size = examples(batch)
        for first in range(0, size, most):
            length = min(most, size - first)
            inputs = _rows(batch[0], first, length, size, device, channels_last)
            targets = _rows(batch[1], first, length, size, device, False)
            parts.append((weight * length / size, (inputs, targets)))
    return parts


def _rows(part: Any, first: int, length: int, size: int, device: torch.device, channels_last: bool) -> Any:
    if isinstance(part, Mapping):
        return {key: _rows(value, first, length, size, device, channels_last) for key, value in part.items()}
    if isinstance(part, (tuple, list)):
        return tuple(_rows(value, first, length, size, device, channels_last) for value in part)
    if not isinstance(part, Tensor) or part.ndim == 0 or len(part) != size:
        raise ValueError("the probe cannot be cut into examples")
    rows = part[first : first + length].to(device)
    return innermost(rows) if channels_last else rows


def innermost(tensor: Tensor) -> Tensor:
    """The same tensor with its dim 1 innermost in memory, where it has two or three further dims."""
    if tensor.ndim == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.contiguous(memory_format=torch.channels_last_3d) if tensor.ndim == 5 else tensor
