"""The weights of an average of the model, to be evaluated in place of its own."""

from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nbtoolkit.numerics.barriers import check_alike
from nbtoolkit.numerics.given import shown

NO_MODULE = "averaged={got}: expected a module of the model's architecture or torch.optim.swa_utils.AveragedModel"


def averaged_weights(model: nn.Module, averaged: Any, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers of ``averaged`` by the names that ``model`` has for them.

    Args:
        model: whose architecture is expected.
        averaged: an `AveragedModel` of it, or another module like it.
        prefix: to be put before the names.

    Raises:
        ValueError: it is no module, or of another architecture.
    """
    module = averaged.module if isinstance(averaged, AveragedModel) else averaged
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    if not isinstance(module, nn.Module):
        raise ValueError(NO_MODULE.format(got=shown(averaged)))
    parameters = dict(module.named_parameters(remove_duplicate=False))
    check_alike(dict(model.named_parameters(remove_duplicate=False)), parameters)
    return {prefix + name: tensor.detach() for name, tensor in {**parameters, **dict(module.named_buffers())}.items()}
