"""Arithmetic on named tensors: dicts of name -> tensor, the tensors on any device."""

from collections.abc import Mapping
from operator import attrgetter, methodcaller
from typing import Any

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)
WIDE = {torch.float32, torch.float64}
DTYPE = attrgetter("dtype")
NUMEL = methodcaller("numel")
# On the host torch adds squares up one by one: of a million float32 the norm is 1e-5 off, of a hundred million 1e-2.
LARGE = 2**18
RUN = 1024


def norms(tree: Mapping[str, Tensor | None]) -> list[Tensor | None]:
    """Euclidean norm of every tensor, as 0-d tensors on its device; None stays None.

    Half-precision tensors are summed and returned in float32. Sparse tensors count their
    coalesced values. One fused call; nothing waits for the device.
    """
    tensors: list[Any] = list(tree.values())
    try:
        if WIDE.issuperset(map(DTYPE, tensors)) and tensors:
            if max(map(NUMEL, tensors)) > LARGE and tensors[0].is_cpu:
                return [_norm(tensor) for tensor in tensors]
            return list(torch._foreach_norm(tensors, 2))
    except (AttributeError, RuntimeError):  # holes, or sparse tensors
        pass
    present = [(place, _values(tensor)) for place, tensor in enumerate(tensors) if tensor is not None]
    result: list[Tensor | None] = [None] * len(tree)
    narrow = [item for item in present if item[1].dtype in HALF]
    wide = [item for item in present if item[1].dtype not in HALF]
    for items, dtype in ((wide, None), (narrow, torch.float32)):
        if items:
            measured = torch._foreach_norm([tensor for _, tensor in items], 2, dtype=dtype)
            for (place, _), norm in zip(items, measured, strict=True):
                result[place] = norm
    return result


def difference(after: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """``after - before`` by name; None where ``before`` lacks the name or has another shape."""
    shared = [name for name, tensor in after.items() if name in before and before[name].shape == tensor.shape]
    if not shared:
        return dict.fromkeys(after)
    minus = torch._foreach_sub([after[name] for name in shared], [before[name] for name in shared])
    return {**dict.fromkeys(after), **dict(zip(shared, minus, strict=True))}


def clone(tree: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A detached copy of every tensor."""
    tensors = [tensor.detach() for tensor in tree.values()]
    if tensors and all(tensor.is_cuda for tensor in tensors):  # one kernel for all of them
        return dict(zip(tree, torch._foreach_mul(tensors, 1), strict=True))
    return dict(zip(tree, [tensor.clone() for tensor in tensors], strict=True))


def layer_of(name: str) -> str:
    """The module that a parameter belongs to: its name without the last word."""
    return name.rpartition(".")[0] or name


def _norm(tensor: Tensor) -> Tensor:
    """The norm of a dense tensor: large ones in runs, and of their norms, which keeps it within 1e-6."""
    if tensor.numel() <= LARGE:
        return torch.linalg.vector_norm(tensor)
    flat = tensor.reshape(-1)
    whole = len(flat) // RUN * RUN
    runs = torch.linalg.vector_norm(flat[:whole].view(-1, RUN), dim=1)
    return torch.linalg.vector_norm(torch.cat([runs, flat[whole:]]))


def _values(tensor: Tensor) -> Tensor:
    return tensor.coalesce().values() if tensor.is_sparse else tensor
