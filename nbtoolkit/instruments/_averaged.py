"""The weights of an average of the model, to be evaluated in place of its own."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nbtoolkit.numerics.barriers import check_alike
from nbtoolkit.numerics.given import shown

NO_MODULE = "averaged={got}: expected a module of the model's architecture or torch.optim.swa_utils.AveragedModel"
TIED = "averaged= has different weights {first} and {name}, which are one in the model; average a model that ties them"


def averaged_weights(model: nn.Module, averaged: Any, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers of ``averaged`` by the names that ``model`` has for them, tied ones once.

    Args:
        model: whose architecture is expected.
        averaged: an `AveragedModel` of it, or another module like it.
        prefix: to be put before the names.

    Raises:
        ValueError: it is no module, of another architecture, or has several weights where the model has one.
    """
    module = averaged.module if isinstance(averaged, AveragedModel) else averaged
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    if not isinstance(module, nn.Module):
        raise ValueError(NO_MODULE.format(got=shown(averaged)))
    parameters, names = _all(module), _all(model)
    check_alike(names, parameters)
    firsts: dict[int, str] = {}
    for name, param in names.items():
        first = firsts.setdefault(id(param), name)
        one, other = parameters[first], parameters[name]
        if one is not other and not torch.equal(one, other):
            raise ValueError(TIED.format(first=first, name=name))
    kept = {name: parameters[name].detach() for name in firsts.values()}
    # Copies: a forward pass may write into buffers.
    kept |= {name: buffer.detach().clone() for name, buffer in module.named_buffers()}
    return {prefix + name: tensor for name, tensor in kept.items()}


def _all(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters(remove_duplicate=False))
