"""The parameters of a model by name, as it has them now."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def present(model: nn.Module, held: Mapping[str, torch.Size], whose: str) -> dict[str, Tensor]:
    """All parameters by name, those of modules put in since too.

    Args:
        model: as it is now.
        held: names of parameters that must be there, and their shapes.
        whose: the word that a message begins with.

    Raises:
        ValueError: a parameter of ``held`` is gone or has another shape.
    """
    now: dict[str, Tensor] = dict(model.named_parameters())
    changed = [_told(name, now.get(name), was) for name, was in held.items() if not _fits(now.get(name), was)]
    if changed:
        raise ValueError(
            f"{whose} holds parameters that the model no longer has as they were: {'; '.join(changed)}. Build the "
            "model with all its outputs from the start, or begin anew after the change."
        )
    return now


def shapes(params: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Of tensors by name."""
    return {name: param.shape for name, param in params.items()}


def _fits(param: Tensor | None, was: torch.Size) -> bool:
    return param is not None and param.shape == was


def _told(name: str, param: Tensor | None, was: torch.Size) -> str:
    return f"{name} is gone" if param is None else f"{name} is {tuple(param.shape)} and was {tuple(was)}"
