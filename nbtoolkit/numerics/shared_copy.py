"""A copy of the modules of a model around the same parameters."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

NOT_COPIED = "the model holds something that cannot be copied; use statistics='as trained'"


def shared_copy(model: nn.Module) -> nn.Module:
    """A copy of the modules of a model around the same parameters and buffers.

    It has the model's hooks: what a hook does (weight and spectral normalisation, masks, an output replaced) is part
    of the function, and one that only looks on cannot be told from one that computes. Activations that the model
    keeps on itself are copied without their graph.

    Raises:
        ValueError: the model holds something that cannot be copied.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    for tensor in held(model):
        if tensor.grad_fn is not None:  # copy.deepcopy refuses those
            shared.setdefault(id(tensor), tensor.detach().clone())
    try:
        return copy.deepcopy(model, shared)
    except Exception as error:
        raise ValueError(f"{NOT_COPIED}: {error}".splitlines()[0]) from None


def held(model: nn.Module) -> Iterator[Tensor]:
    """Tensors that are attributes of modules, or in plain containers that are."""
    for module in model.modules():
        for value in vars(module).values():
            parts: Any = value.values() if isinstance(value, Mapping) else value
            for part in parts if isinstance(value, (Mapping, list, tuple, set)) else [value]:
                if isinstance(part, Tensor):
                    yield part
