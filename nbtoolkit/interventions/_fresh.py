"""A module initialised anew."""

import copy
from collections.abc import Callable

import torch
from torch import nn

Draw = Callable[[nn.Module], object]


def fresh(module: nn.Module, seed: int, draw: Draw | None = None) -> nn.Module:
    """A copy of a module on the host with parameters drawn anew; the global random state stays as it was.

    Args:
        module: is not changed.
        seed: of the draw.
        draw: initialises the copy in place; each layer's ``reset_parameters()`` where none is given.

    Raises:
        ValueError: a layer with parameters of its own cannot initialise itself.
    """
    copied = copy.deepcopy(module).cpu()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        (draw or _reset)(copied)
    return copied


def _reset(module: nn.Module) -> None:
    for name, layer in reversed(list(module.named_modules())):  # what is inside comes first
        again = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if again is not None:
            again()
        elif any(True for _ in layer.parameters(recurse=False)):
            raise ValueError(
                f"{name or 'the model'} ({type(layer).__name__}) has no reset_parameters(), so that nothing tells how "
                "it is initialised; give that yourself."
            )
